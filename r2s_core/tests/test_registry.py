"""What a user reads when a plugin is missing, broken or ambiguous."""

import json
import sys

import pytest

from r2s_core import cli, registry
from r2s_core.config.json_schema import config_schema
from r2s_core.errors import PluginError, PluginLoadError
from r2s_core.plugin import GROUPS
from r2s_core.system.trust import UntrustedCodeError
from r2s_core.system.user_file import load_function

REWARDS = "r2s.rewards"


@pytest.fixture(autouse=True)
def _forget_test_modules():
    yield
    for name in [name for name in sys.modules if name.startswith("fake_")]:
        del sys.modules[name]


def test_discovering_reads_metadata_and_imports_nothing(install):
    install("fake-a", {REWARDS: {"broken": "fake_broken:PLUGIN"}}, {"fake_broken": "1 / 0"})
    entry = registry.find("reward", "broken")
    assert (entry.dist, entry.version, entry.qualified) == ("fake-a", "1.2.3", "fake-a:broken")
    assert "fake_broken" not in sys.modules


def test_a_broken_plugin_that_nothing_uses_harms_nobody(install, manifest):
    install("fake-a", {REWARDS: {"broken": "fake_broken:PLUGIN"}}, {"fake_broken": "1 / 0"})
    install(
        "fake-b",
        {"r2s.hooks": {"good": "fake_good:PLUGIN"}},
        {"fake_good": manifest("good", "hook")},
    )
    assert registry.build("hook", "good", 2.5) == 2
    assert "fake_broken" not in sys.modules


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("\n1 / 0", "fake_bad.py:2: ZeroDivisionError"),
        ("import no_such_module_xyz", "No module named 'no_such_module_xyz'; pip install the pac"),
        (
            "import fake_bad.lost",
            "'fake_bad' is not a package; it is of fake_bad itself, which is br",
        ),
        ("\n\ndef broken(:", "fake_bad.py:3: SyntaxError"),
        ("PLUGIN = 3", "fake_bad:PLUGIN: it is int, not a Plugin; report it to the authors of fak"),
        ("", "has no attribute 'PLUGIN'"),
        ("import sys; sys.exit()", "fake_bad.py:1: it called sys.exit()"),
        ("raise SystemExit(0)", "fake_bad.py:1: it called sys.exit(0)"),
        ("raise KeyboardInterrupt", "fake_bad.py:1: it raised KeyboardInterrupt"),
    ],
)
def test_a_broken_manifest_in_use_names_plugin_dist_version_place_and_cause(install, source, cause):
    install("fake-a", {REWARDS: {"bad": "fake_bad:PLUGIN"}}, {"fake_bad": source})
    with pytest.raises(PluginLoadError) as caught:
        registry.get("reward", "bad")
    message = str(caught.value)
    for part in ("reward plugin 'bad' (fake-a 1.2.3)", cause):
        assert part in message
    assert "reinstall" not in message
    assert "\n" not in message


def test_the_line_that_failed_is_told_of_an_installed_package_too(install, monkeypatch):
    modules = {"fake_m": "import fake_n", "fake_n": "\n1 / 0"}
    folder = install("fake-a", {REWARDS: {"bad": "fake_m:PLUGIN"}}, modules)
    monkeypatch.setattr("r2s_core.system.foreign._INSTALLED", folder)  # as site-packages is
    with pytest.raises(PluginLoadError, match=r"failed at .*fake_m.py:1: ZeroDivisionError"):
        registry.get("reward", "bad")


@pytest.mark.parametrize(
    ("manifest", "cause"),
    [
        ("contract='1'", "its contract is '1', not a whole number"),
        ("contract=None", "its contract is None, not a whole number"),
        ("target=7", "its target is 7, not text"),
        ("target='math'", "its target is 'math', not module:callable"),
        ("summary=b'x'", "its summary is b'x', not text"),
        ("config=int", "its config is <class 'int'>, not a dataclass of options"),
        ("config={}", "its config is {}, not a dataclass of options"),
        ("configure='x'", "its configure is 'x', not a function"),
        ("config=Config", "NameError: name 'NoSuchType' is not defined"),
    ],
)
def test_a_manifest_of_the_wrong_shape_is_one_line_and_harms_no_listing(install, manifest, cause):
    source = (
        "import dataclasses\nfrom r2s_core.plugin import Plugin\n"
        "@dataclasses.dataclass(frozen=True)\nclass Config:\n    x: 'NoSuchType' = 1\n"
        "fields = dict(name='bad', kind='reward', summary='', target='math:floor')\n"
        f"PLUGIN = Plugin(**(fields | dict({manifest})))\n"
    )
    install("fake-a", {REWARDS: {"bad": "fake_bad:PLUGIN"}}, {"fake_bad": source})
    with pytest.raises(PluginLoadError) as caught:
        registry.get("reward", "bad")
    assert cause in str(caught.value)
    assert "\n" not in str(registry.check(registry.find("reward", "bad")))
    assert "bad" not in config_schema()["definitions"]["reward"]


def test_a_package_with_damaged_metadata_is_one_line_of_the_list(install, manifest, capsys):
    folder = install(
        "fake-a", {REWARDS: {"a": "fake_m:PLUGIN"}}, {"fake_m": manifest("a", "reward")}
    )
    for number, damage in enumerate((b"\xff\xfe[r2s.rewards]", b"[r2s.rewards]\nno equals sign\n")):
        info = folder / f"torn{number}-1.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_bytes(damage)
    info = folder / "nameless-1.dist-info"  # without METADATA
    info.mkdir()
    (info / "entry_points.txt").write_text("[r2s.rewards]\nx = y:z\n")
    assert registry.find("reward", "a").dist == "fake-a"
    assert cli.main(["plugins"]) == 0
    streams = capsys.readouterr()
    assert "fake-a" in streams.out
    lines = streams.err.splitlines()
    assert len(lines) == 3
    for line, name in zip(sorted(lines), ("nameless", "torn0", "torn1"), strict=True):
        assert f"{name}-1.dist-info: its metadata cannot be read: " in line


def test_a_builder_that_cannot_be_imported_or_raises_is_a_load_error(install, manifest):
    modules = {
        "fake_m": manifest("one", "reward", "fake_heavy:make"),
        "fake_n": manifest("two", "reward", "fake_boom:make"),
        "fake_heavy": "import no_such_module_xyz",
        "fake_boom": "def make(config): raise RuntimeError('no GPU here')",
    }
    install("fake-a", {REWARDS: {"one": "fake_m:PLUGIN", "two": "fake_n:PLUGIN"}}, modules)
    with pytest.raises(PluginLoadError, match=r"'one'.*fake_heavy.py:1: .*no_such_module_xyz"):
        registry.build("reward", "one", None)
    with pytest.raises(
        PluginLoadError, match=r"fake_boom.py:1 \(make\): RuntimeError: no GPU here"
    ):
        registry.build("reward", "two", None)


def test_an_error_that_is_the_users_passes_through_a_builder_unchanged(install, manifest):
    heavy = "from r2s_core.errors import AssetError\ndef make(config): raise AssetError('no mesh')"
    modules = {"fake_m": manifest("one", "reward", "fake_heavy:make"), "fake_heavy": heavy}
    install("fake-a", {REWARDS: {"one": "fake_m:PLUGIN"}}, modules)
    with pytest.raises(Exception, match=r"^no mesh$"):
        registry.build("reward", "one", None)


def test_one_name_from_two_dists_is_an_error_only_when_used(install, manifest):
    for dist in ("fake-one", "fake-two"):
        module = dist.replace("-", "_")
        source = manifest("twin", "reward", target=f"{module}_heavy:make")
        heavy = f"def make(config): return lambda step: {dist!r}"
        install(
            dist,
            {REWARDS: {"twin": f"{module}:PLUGIN"}},
            {module: source, f"{module}_heavy": heavy},
        )
    assert [e.dist for e in registry.discover("reward") if e.name == "twin"] == [
        "fake-one",
        "fake-two",
    ]
    with pytest.raises(PluginError) as caught:
        registry.get("reward", "twin")
    for part in ("fake-one 1.2.3", "fake-two 1.2.3", "fake-one:twin or fake-two:twin"):
        assert part in str(caught.value)
    assert registry.build("reward", "fake-two:twin", None)(0) == "fake-two"


def test_a_name_of_ours_stays_ours_and_the_other_is_told_of_once(install, manifest, capsys):
    modules = {"fake_csv": manifest("csv", "hook", "no_such_module_xyz:make")}
    install("fake-a", {"r2s.hooks": {"csv": "fake_csv:PLUGIN"}}, modules)
    for _ in range(2):
        assert registry.get("hook", "csv").entry.dist == "r2s-core"
    assert capsys.readouterr().err == (
        "hook 'csv' is offered by fake-a too; r2s-core's is used (write fake-a:csv for the other)\n"
    )
    assert registry.get("hook", "fake-a:csv").entry.dist == "fake-a"
    entries = {entry.dist: entry for entry in registry.discover("hook") if entry.name == "csv"}
    assert registry.name_in_yaml(entries["r2s-core"]) == "csv"
    assert registry.name_in_yaml(entries["fake-a"]) == "fake-a:csv"


@pytest.mark.parametrize(
    ("kind", "body", "cause"),
    [
        ("environment", "return None", "it returned nothing, no environment: there is no info"),
        ("algorithm", "return 3", "it returned int, no algorithm: there is no steps_per_update"),
        ("reward", "return 'x'", "it returned str, no reward: there is no __call__"),
        ("backend", "raise SystemExit", "fake_h.py:1 (make): it called sys.exit()"),
        ("randomizer", "import sys; sys.exit(0)", "fake_h.py:1 (make): it called sys.exit(0)"),
        ("hook", "raise KeyboardInterrupt", "fake_h.py:1 (make): it raised KeyboardInterrupt"),
    ],
)
def test_a_builder_that_gives_something_else_is_named(install, manifest, kind, body, cause):
    modules = {
        "fake_m": manifest("odd", kind, "fake_h:make"),
        "fake_h": f"def make(*args): {body}",
    }
    install("fake-a", {GROUPS[kind]: {"odd": "fake_m:PLUGIN"}}, modules)
    with pytest.raises(PluginLoadError) as caught:
        registry.build(kind, "odd", None)
    assert f"{kind} plugin 'odd' (fake-a 1.2.3)" in str(caught.value)
    assert cause in str(caught.value)


@pytest.mark.parametrize("kind", ["robot", "backend"])
def test_what_bears_another_name_than_its_plugin_is_refused(install, manifest, kind):
    body = "class Any:\n    name = 'odd'\n    def __getattr__(self, part): ...\n"
    modules = {
        "fake_m": manifest("even", kind, "fake_h:make"),
        "fake_h": f"{body}def make(*args): return Any()",
    }
    install("fake-a", {GROUPS[kind]: {"even": "fake_m:PLUGIN"}}, modules)
    with pytest.raises(PluginLoadError, match="fake_h:make: its name is 'odd'"):
        registry.build(kind, "even", None)


def test_a_plugin_that_prints_spoils_nothing(install, manifest, capsys):
    source = "print('hello')\n" + manifest("loud", "reward", "fake_h:make")
    modules = {"fake_m": source, "fake_h": "print('hello'); make = print"}
    install("fake-a", {REWARDS: {"loud": "fake_m:PLUGIN"}}, modules)
    assert cli.main(["info", "reward:loud", "--json"]) == 0
    streams = capsys.readouterr()
    assert json.loads(streams.out)["name"] == "loud"
    assert streams.err == "hello\n"


@pytest.mark.parametrize(("contract", "upgrade"), [(99, "upgrade r2s-core"), (0, "upgrade fake-a")])
def test_another_contract_is_refused_before_the_heavy_import(install, manifest, contract, upgrade):
    modules = {
        "fake_m": manifest("alien", "reward", "fake_heavy:make", contract=contract),
        "fake_heavy": "def make(config): ...",
    }
    install("fake-a", {REWARDS: {"alien": "fake_m:PLUGIN"}}, modules)
    with pytest.raises(PluginError, match=f"contract {contract}.*{upgrade}"):
        registry.build("reward", "alien", None)
    assert "fake_heavy" not in sys.modules


def test_a_manifest_that_contradicts_its_entry_point_is_refused(install, manifest):
    install("fake-a", {REWARDS: {"x": "fake_m:PLUGIN"}}, {"fake_m": manifest("y", "hook")})
    with pytest.raises(PluginLoadError, match="says hook 'y', its entry point reward 'x'"):
        registry.get("reward", "x")


def test_an_unknown_name_suggests_lists_and_says_how_to_install(install, manifest):
    install(
        "fake-a", {REWARDS: {"smooth": "fake_m:PLUGIN"}}, {"fake_m": manifest("smooth", "reward")}
    )
    with pytest.raises(PluginError) as caught:
        registry.get("reward", "smoth")
    for part in ("'smoth'", "did you mean smooth?", "installed: ", "pip install", "r2s new reward"):
        assert part in str(caught.value)
    with pytest.raises(PluginError, match=r"'SMOOTH' is installed; did you mean smooth\?"):
        registry.get("reward", "SMOOTH")


def test_check_tells_the_error_that_use_would_meet(install, manifest):
    modules = {"fake_m": manifest("a", "reward"), "fake_bad": "1 / 0"}
    install("fake-a", {REWARDS: {"a": "fake_m:PLUGIN", "b": "fake_bad:PLUGIN"}}, modules)
    assert registry.check(registry.find("reward", "a")) is None
    assert isinstance(registry.check(registry.find("reward", "b")), PluginLoadError)


_COUNTED = """
import dataclasses, pathlib, typing
with pathlib.Path(__file__).with_name("runs").open("a") as log:
    log.write("x")

@dataclasses.dataclass(frozen=True)
class Weights:
    near: "float" = 2.0

typing.get_type_hints(Weights)
def near(transition): return Weights().near
def far(transition): return -Weights().near
"""


@pytest.fixture
def trusting(monkeypatch):
    """The user trusts every file."""
    monkeypatch.setattr("r2s_core.system.trust._is_trusted", lambda sha256: True)


@pytest.mark.usefixtures("trusting")
def test_a_users_file_is_a_module_like_any_other_and_runs_once_for_all_its_functions(tmp_path):
    path = tmp_path / "my rewards.py"
    path.write_text(_COUNTED)
    assert registry.build("reward", f"{path}:near", None)(0) == 2.0
    assert registry.build("reward", f"{path}:far", None)(0) == -2.0
    assert (tmp_path / "runs").read_text() == "x"


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("source", ["raise SystemExit", "import sys\nsys.exit(0)", "exit()"])
def test_a_users_file_cannot_end_the_program_unsaid(tmp_path, source):
    (tmp_path / "mine.py").write_text(source)
    with pytest.raises(PluginLoadError, match=r"mine.py:\d: it called sys.exit"):
        load_function(f"{tmp_path}/mine.py:near")


def test_a_trusted_reward_may_be_a_function_in_a_file(tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    path.write_text("def near(transition):\n    return transition + 1\n")
    with pytest.raises(UntrustedCodeError, match=r"function near of .*mine\.py \(SHA-256"):
        registry.build("reward", f"{path}:near", None)
    monkeypatch.setattr("r2s_core.system.trust._is_trusted", lambda sha256: True)
    assert registry.build("reward", f"{path}:near", None)(1) == 2
    with pytest.raises(PluginLoadError, match=r"no function 'naer'; did you mean near?"):
        load_function(f"{path}:naer")
    path.write_text("import no_such_module_xyz\n")
    with pytest.raises(PluginLoadError, match=r"mine\.py:1: ModuleNotFoundError: No module named"):
        load_function(f"{path}:near")
    with pytest.raises(PluginLoadError, match="no such file"):
        load_function(f"{tmp_path}/other.py:near")


def test_the_environment_that_a_configuration_means_which_names_none(install, manifest):
    """The only one; else the one that says so, and ours before others'."""

    def offer(dist, module, name, **changes):
        source = manifest(name, "environment")
        for key, value in changes.items():
            source = source.replace("config=Options,", f"config=Options, {key}={value},")
        install(dist, {"r2s.environments": {name: f"{module}:PLUGIN"}}, {module: source})

    assert registry.default("environment") == "real2sim_pick_place"
    offer("fake-a", "fake_a", "alone", default=True)
    assert registry.default("environment") == "real2sim_pick_place"


def test_where_nothing_says_which_environment_is_meant_there_is_none(
    install, manifest, monkeypatch
):
    source = manifest("one", "environment")
    more = {"fake_two": source.replace("'one'", "'two'")}
    install("fake-a", {"r2s.environments": {"one": "fake_one:PLUGIN"}}, {"fake_one": source})
    own = [e for e in registry.discover("environment") if e.dist == "fake-a"]
    with monkeypatch.context() as only:
        only.setattr(registry, "discover", lambda kind: own)
        assert registry.default("environment") == "one"
    install("fake-b", {"r2s.environments": {"two": "fake_two:PLUGIN"}}, more)
    both = [e for e in registry.discover("environment") if e.dist.startswith("fake")]
    monkeypatch.setattr(registry, "discover", lambda kind: both)
    assert registry.default("environment") is None
