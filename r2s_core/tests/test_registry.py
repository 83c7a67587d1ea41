"""Every row of DESIGN.md's table of cases, and what a user reads when a name is wrong."""

import sys

import pytest

from r2s_core import registry
from r2s_core.errors import PluginError, PluginLoadError
from r2s_core.trust import UntrustedCodeError

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
        "fake-b", {REWARDS: {"good": "fake_good:PLUGIN"}}, {"fake_good": manifest("good", "reward")}
    )
    assert registry.build("reward", "good", 2.5) == 2
    assert "fake_broken" not in sys.modules


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import no_such_module_xyz", "No module named 'no_such_module_xyz'"),
        ("def broken(:", "SyntaxError"),
        ("PLUGIN = 3", "it is int, not a Plugin"),
        ("", "has no attribute 'PLUGIN'"),
    ],
)
def test_a_broken_manifest_in_use_names_plugin_dist_version_target_cause_and_fix(
    install, source, cause
):
    install("fake-a", {REWARDS: {"bad": "fake_bad:PLUGIN"}}, {"fake_bad": source})
    with pytest.raises(PluginLoadError) as caught:
        registry.get("reward", "bad")
    message = str(caught.value)
    for part in ("reward plugin 'bad'", "fake-a 1.2.3", "fake_bad:PLUGIN", cause, "reinstall"):
        assert part in message
    assert "\n" not in message


def test_a_builder_that_cannot_be_imported_or_raises_is_a_load_error(install, manifest):
    modules = {
        "fake_m": manifest("one", "reward", "fake_heavy:make"),
        "fake_n": manifest("two", "reward", "fake_boom:make"),
        "fake_heavy": "import no_such_module_xyz",
        "fake_boom": "def make(config): raise RuntimeError('no GPU here')",
    }
    install("fake-a", {REWARDS: {"one": "fake_m:PLUGIN", "two": "fake_n:PLUGIN"}}, modules)
    with pytest.raises(PluginLoadError, match=r"fake_heavy:make.*no_such_module_xyz"):
        registry.build("reward", "one", None)
    with pytest.raises(PluginLoadError, match=r"fake_boom:make.*RuntimeError: no GPU here"):
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
        heavy = f"def make(config): return {dist!r}"
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
    assert registry.build("reward", "fake-two:twin", None) == "fake-two"


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
    for part in ("'smoth'", "did you mean smooth?", "installed: ", "pip install"):
        assert part in str(caught.value)


def test_check_tells_the_error_that_use_would_meet(install, manifest):
    modules = {"fake_m": manifest("a", "reward"), "fake_bad": "1 / 0"}
    install("fake-a", {REWARDS: {"a": "fake_m:PLUGIN", "b": "fake_bad:PLUGIN"}}, modules)
    assert registry.check(registry.find("reward", "a")) is None
    assert isinstance(registry.check(registry.find("reward", "b")), PluginLoadError)


def test_a_trusted_reward_may_be_a_function_in_a_file(tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    path.write_text("def near(transition):\n    return transition + 1\n")
    with pytest.raises(UntrustedCodeError, match=r"function near of .*mine\.py \(SHA-256"):
        registry.build("reward", f"{path}:near", None)
    monkeypatch.setattr("r2s_core.trust._is_trusted", lambda sha256: True)
    assert registry.build("reward", f"{path}:near", None)(1) == 2
    with pytest.raises(PluginLoadError, match=r"no function 'naer'; did you mean near?"):
        registry.load_function(f"{path}:naer")
    path.write_text("import no_such_module_xyz\n")
    with pytest.raises(PluginLoadError, match=r"mine\.py cannot be imported: ModuleNotFoundError"):
        registry.load_function(f"{path}:near")
    with pytest.raises(PluginLoadError, match="no such file"):
        registry.load_function(f"{tmp_path}/other.py:near")
