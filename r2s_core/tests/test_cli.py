"""The command line: light where it lists, one message where the user is wrong."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest
import yaml
from jax.core import Tracer

from r2s_core import cli, registry
from r2s_core.errors import PluginError, R2SError

_HEAVY = ("jax", "mujoco", "flax", "optax", "trimesh", "rich", "numpy", "scipy", "pytest")
_LIST = (
    "import sys; from r2s_core.cli import main; status = main(sys.argv[1:]); "
    f"print('HEAVY', [name for name in {_HEAVY} if name in sys.modules]); sys.exit(status)"
)


@pytest.fixture
def config(install, manifest, tmp_path, monkeypatch):
    """A configuration file for fake plugins, whose packages are put on PYTHONPATH too."""
    heavy = "import jax\ndef make(*args): raise RuntimeError('was built')"
    points = {
        "r2s.environments": {"fake_env": "fake_env:PLUGIN"},
        "r2s.algorithms": {"fake_algo": "fake_algo:PLUGIN"},
    }
    modules = {
        "fake_env": manifest("fake_env", "environment", "fake_heavy:make"),
        "fake_algo": manifest("fake_algo", "algorithm", "fake_heavy:make"),
        "fake_heavy": heavy,
    }
    folder = install("fake-all", points, modules)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    path = tmp_path / "x.yaml"
    path.write_text("environment: {use: fake_env}\nalgorithms: {fake_algo: {size: 5}}\n")
    return path


def _r2s(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", _LIST, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["plugins"],
        ["plugins", "--json"],
        ["info", "algorithm:fake_algo"],
        ["info", "environment:fake_env"],
        ["schema"],
        ["validate", "CONFIG"],
        ["validate", "CONFIG", "--show"],
    ],
    ids=" ".join,
)
def test_listing_imports_nothing_heavy(config, arguments):
    done = _r2s(*[config if word == "CONFIG" else word for word in arguments])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "HEAVY []"


@pytest.mark.parametrize(
    "name", ["run", "compare", "eval", "plugins", "info", "validate", "schema", "doctor"]
)
def test_help_of_each_command_has_examples(name, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert caught.value.code == 0
    assert f"examples:\n  r2s {name}" in capsys.readouterr().out


def test_help_lists_the_commands_and_where_others_come_from(install, capsys):
    install("fake-cmd", {"r2s.commands": {"fly": "fake_broken:PLUGIN"}}, {"fake_broken": "1 / 0"})
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    assert "  run        Train as configured in a YAML file" in out
    assert "  fly        from fake-cmd 1.2.3" in out


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (["help"], "usage: r2s COMMAND"),
        (["help", "run"], "usage: r2s run "),
        (["version"], "r2s "),
        (["-V"], "r2s "),
    ],
)
def test_words_that_people_try_are_understood(words, start, capsys):
    with contextlib.suppress(SystemExit):
        cli.main(words)
    assert capsys.readouterr().out.startswith(start)


def test_what_is_wrong_with_the_arguments_is_told_first(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["run"])
    assert caught.value.code == 2
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == "r2s run: the following arguments are required: CONFIG"
    assert rest[0].startswith("usage: r2s run ")


def test_a_command_may_come_from_another_package(install, capsys):
    source = (
        "from r2s_core.plugin import Plugin\n"
        "def configure(parser): parser.add_argument('where')\n"
        "def main(args): print('flying to', args.where); return 7\n"
        "PLUGIN = Plugin('fly', 'command', 'Fly.', 'fake_fly:main', configure=configure)\n"
    )
    install("fake-cmd", {"r2s.commands": {"fly": "fake_fly:PLUGIN"}}, {"fake_fly": source})
    assert cli.main(["fly", "home"]) == 7
    assert capsys.readouterr().out == "flying to home\n"


def test_an_unknown_command_is_told_with_what_was_meant(capsys):
    assert cli.main(["rnu"]) == 2
    assert "no command named 'rnu' is installed; did you mean run?" in capsys.readouterr().err


def test_a_wrong_configuration_is_told_exactly_and_exits_with_2(config, capsys):
    config.write_text("environment: {use: fake_env}\nalgorithms:\n  fake_algo:\n    siz: 5\n")
    assert cli.main(["validate", str(config)]) == 2
    streams = capsys.readouterr()
    expected = f"{config}:4: algorithms.fake_algo.siz: unknown key; did you mean size?\n"
    assert (streams.out, streams.err) == ("", expected)


def test_validate_tells_what_would_run_and_show_fills_in_the_defaults(config, capsys):
    assert cli.main(["validate", str(config), "seed=4"]) == 0
    said = capsys.readouterr().out
    assert "valid: fake_algo on fake_env, 256 worlds" in said
    assert "nothing was built" in said
    assert cli.main(["validate", str(config), "--show", "seed=4"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["seed"], shown["algorithms"]["fake_algo"]["size"]) == (4, 5)


def test_run_passes_its_arguments_on_wherever_they_stand(config, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(
        "r2s_core.training.run.run",
        lambda config, output, resume: calls.append((config, output, resume)),
    )
    out = tmp_path / "out"
    line = ["run", str(config), "seed=1", "--output", str(out), "name=a", "--resume", "seed=2"]
    assert cli.main(line) == 0
    ((loaded, output, resume),) = calls
    assert (loaded.seed, loaded.name, output, resume) == (2, "a", out, True)


def test_eval_passes_its_arguments_on(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(
        "r2s_core.evaluation.evaluate.evaluate_run", lambda *args: calls.append(args)
    )
    line = ["eval", str(tmp_path), "--episodes", "64", "a=1", "--backend", "mujoco", "b=2"]
    assert cli.main(line) == 0
    assert calls == [(tmp_path, 64, "mujoco", ["a=1", "b=2"], None)]


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (R2SError("no object at cup.stl"), 1, "no object at cup.stl\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/x/metrics.csv"),
            1,
            "the disk is full while writing runs/x/metrics.csv; free some space and start it "
            "again\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/runs"),
            1,
            "/runs: Permission denied; choose a folder that you can write to\n",
        ),
    ],
)
def test_what_the_user_can_mend_is_one_message(config, monkeypatch, capsys, error, status, words):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr("r2s_core.training.run.run", fail)
    assert cli.main(["run", str(config)]) == status
    assert capsys.readouterr().err == words


def test_a_folder_that_may_not_be_searched_is_named(config, monkeypatch, capsys, tmp_path):
    """Where reading fails, a place to write to is no advice."""
    closed = tmp_path / "closed"
    closed.mkdir()
    access = os.access  # which lets root search everything
    monkeypatch.setattr("os.access", lambda x, mode: x != closed and access(x, mode))
    what = PermissionError(errno.EACCES, "Permission denied", str(closed / "policy/policy.json"))

    def fail(*args, **kwargs):
        raise what

    monkeypatch.setattr("r2s_core.training.run.run", fail)
    assert cli.main(["run", str(config)]) == 1
    expected = f"{what.filename}: Permission denied; you have no access to {closed}\n"
    assert capsys.readouterr().err == expected


def test_an_error_of_ours_keeps_its_traceback_and_debug_shows_all(config, monkeypatch):
    def fail(error):
        def run(*args, **kwargs):
            raise error

        monkeypatch.setattr("r2s_core.training.run.run", run)

    fail(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        cli.main(["run", str(config)])
    fail(R2SError("a mistake"))
    monkeypatch.setenv("R2S_DEBUG", "1")
    with pytest.raises(R2SError):
        cli.main(["run", str(config)])


def test_a_reader_that_goes_away_is_no_error():
    command = f'"{sys.executable}" -c "from r2s_core.cli import main; main([\'schema\'])" | head -1'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("{\n", "")


_STOPPED_COMPILING = """
import signal
import jax, jax.numpy as jnp
from r2s_core import cli, registry

def slow(x):
    for i in range(3000):
        x = jnp.sort(jnp.sin(x) * i)
    return x

def main():
    lowered = jax.jit(slow).lower(jnp.ones(64))
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        lowered.compile()
    except KeyboardInterrupt:
        print("stopped")
        return 130

cli.main = main
cli.program()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs a timer's signal")
def test_a_program_stopped_while_jax_compiles_does_not_crash():
    command = [sys.executable, "-c", _STOPPED_COMPILING]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "stopped\n", "")


def test_plugins_lists_twins_and_check_fails_on_a_broken_one(
    install, manifest, capsys, monkeypatch
):
    rewards, discover = "r2s.rewards", registry.discover
    monkeypatch.setattr(  # importing all that is really installed takes seconds
        registry, "discover", lambda kind: discover(kind) if kind in ("reward", "command") else []
    )
    install("fake-a", {rewards: {"twin": "fake_a:PLUGIN"}}, {"fake_a": manifest("twin", "reward")})
    install("fake-b", {rewards: {"twin": "fake_b:PLUGIN"}}, {"fake_b": "import nope_nope"})
    assert cli.main(["plugins"]) == 0
    assert "offered twice: write fake-b:twin" in capsys.readouterr().out
    assert cli.main(["plugins", "--check", "reward"]) == 1
    rows = [" ".join(row.split()) for row in capsys.readouterr().out.splitlines()]
    assert rows[0] == "KIND NAME PACKAGE VERSION CHECK SUMMARY"
    assert "reward twin fake-a 1.2.3 ok offered twice: write fake-a:twin" in rows
    assert "reward twin fake-b 1.2.3 BROKEN offered twice: write fake-b:twin" in rows
    assert cli.main(["plugins", "--check", "--json"]) == 1
    rows = {row["dist"]: row["error"] for row in json.loads(capsys.readouterr().out)}
    assert rows["fake-a"] is None
    assert "No module named 'nope_nope'" in rows["fake-b"]


def test_plugins_tells_what_others_are_for_where_that_is_known(
    install, manifest, capsys, monkeypatch
):
    modules = {"fake_m": manifest("near", "reward", "fake_h:make"), "fake_h": "make = print"}
    install("fake-a", {"r2s.rewards": {"near": "fake_m:PLUGIN"}}, modules)
    entry, discover = registry.find("reward", "near"), registry.discover
    monkeypatch.setattr(
        registry, "discover", lambda kind: [entry] if kind == "reward" else discover(kind)
    )
    assert cli.main(["plugins", "reward"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("see r2s info reward:near")
    assert cli.main(["plugins", "reward", "--check"]) == 0
    summary = registry.load_manifest(entry).plugin.summary
    assert " ".join(capsys.readouterr().out.split()).endswith(f"1.2.3 ok {summary}")


def test_plugins_lists_one_kind_with_what_ours_are_for(capsys):
    assert cli.main(["plugins", "hook"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert {row.split()[0] for row in rows} == {"hook"}
    (csv,) = (row for row in rows if " csv " in row)
    assert csv.endswith("metrics.csv in the run's folder")


@pytest.mark.parametrize(
    ("kind", "name", "package"),
    [
        ("algorithm", "sac", "r2s-algos-sac"),
        ("command", "scene", "r2s-envs-pick-place"),
    ],
)
def test_what_is_ours_and_not_installed_is_named_with_its_package(kind, name, package, monkeypatch):
    monkeypatch.setattr(registry, "discover", lambda kind: [])
    with pytest.raises(PluginError, match=f"pip install {package},"):
        registry.find(kind, name)


def test_info_tells_options_with_types_defaults_ranges_and_docs(install, manifest, capsys):
    options = "    size: int | None = option(3, 'how big', minimum=1, maximum=9)"
    source = manifest("near", "reward", options=options)
    install("fake-a", {"r2s.rewards": {"near": "fake_a:PLUGIN"}}, {"fake_a": source})
    for name in ("reward:near", "near", "reward:fake-a:near"):
        assert cli.main(["info", name]) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert "size = 3 whole number or nothing, >= 1, <= 9 how big" in out
    assert cli.main(["info", "rewrad:near"]) == 2
    assert "did you mean reward?" in capsys.readouterr().err
    assert cli.main(["info", "neer"]) == 2
    assert "did you mean near?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "kind",
    [
        *("reward", "task", "task --robot panda", "robot", "algorithm", "randomizer", "hook"),
        *("backend", "camera", "renderer"),
    ],
)
def test_new_writes_a_package_in_which_no_placeholder_is_left(kind, tmp_path, capsys):
    kind, *options = kind.split()
    assert cli.main(["new", kind, "my_thing", *options, "--output", str(tmp_path)]) == 0
    (folder,) = tmp_path.iterdir()
    assert f"pip install -e {folder}" in capsys.readouterr().out
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"pyproject.toml", "README.md", "plugin.py", "test_my_thing.py"} <= {
        f.name for f in files
    }
    for path in files:
        assert "template" not in str(path.relative_to(folder)) + path.read_text()
        if path.suffix == ".py":
            compile(path.read_text(), str(path), "exec")
    assert cli.main(["new", kind, "my_thing", *options, "--output", str(tmp_path)]) == 1
    assert "exists already" in capsys.readouterr().err


def test_new_refuses_a_robot_for_what_has_none_and_a_place_that_is_none(tmp_path, capsys):
    assert cli.main(["new", "reward", "near", "--robot", "panda", "--output", str(tmp_path)]) == 2
    assert "--robot is for tasks" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert cli.main(["new", "reward", "near", "--output", str(tmp_path / "file")]) == 1
    assert "cannot be written (Not a directory); choose another --output" in capsys.readouterr().err


def test_a_package_that_cannot_be_written_whole_leaves_nothing(tmp_path, monkeypatch, capsys):
    wrote, write_text = [], Path.write_text

    def full(path, *args, **kwargs):
        if wrote:
            raise OSError(errno.EFBIG, "File too large", str(path))
        wrote.append(path)
        return write_text(path, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", full)
    assert cli.main(["new", "reward", "near", "--output", str(tmp_path)]) == 1
    assert "cannot be written (File too large)" in capsys.readouterr().err
    assert wrote
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("word", ["class", "null", "yes"])
def test_new_refuses_words_that_python_or_yaml_takes_otherwise(word, tmp_path, capsys):
    assert cli.main(["new", "reward", word, "--output", str(tmp_path)]) == 1
    assert f"choose another, as in my_{word}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "better"), [("My-Thing", "my_thing"), ("3", "")])
def test_new_refuses_names_that_cannot_be(name, better, tmp_path, capsys):
    assert cli.main(["new", "reward", name, "--output", str(tmp_path)]) == 1
    assert (
        f"'{name}' cannot name a plugin; use a-z, 0-9 and _, as in {better}"
        in capsys.readouterr().err
    )
    assert not list(tmp_path.iterdir())


def test_new_refuses_the_name_of_an_installed_plugin(install, manifest, tmp_path, capsys):
    source = manifest("near", "reward")
    install("fake-a", {"r2s.rewards": {"near": "fake_a:PLUGIN"}}, {"fake_a": source})
    assert cli.main(["new", "reward", "near", "--output", str(tmp_path)]) == 1
    assert "the reward 'near' exists already, in fake-a" in capsys.readouterr().err


def test_doctor_looks_at_everything_and_says_what_to_fix(install, monkeypatch, capsys):
    install("fake-a", {"r2s.rewards": {"bad": "fake_bad:PLUGIN"}}, {"fake_bad": "1 / 0"})
    monkeypatch.setattr("r2s_core.rendering.render.probe_gl", lambda: None)
    assert cli.main(["doctor", "--quick"]) == 1
    out, fixes = capsys.readouterr().out.split("to fix\n")
    for part in ("cores", "jax ", "python ", "mujoco ", "GiB free", "reward plugin 'bad'"):
        assert part in out
    assert "broken: see `r2s plugins --check`" in fixes
    assert "offscreen: No pictures" in fixes


def test_doctor_measures_a_backend():
    from r2s_core.cli import doctor

    assert doctor._throughput("mujoco") > 1000


def test_doctor_measures_a_renderer(monkeypatch):
    from r2s_core.cli import doctor

    monkeypatch.setattr(doctor, "_SEEN_S", 0.01)
    assert doctor._images_per_second("rays") > 100


@pytest.mark.parametrize("traceable", [False, True])
def test_doctor_steps_as_the_contract_says(traceable, monkeypatch):
    """A control step without a wrench; where the backend can be traced, compiled."""
    from r2s_core.cli import doctor

    class Still:
        batchable, variant, num_worlds = frozenset(), None, doctor._WORLDS

        def __init__(self):
            self.name, self.traceable = "still", traceable

        def init(self, fields, qpos, qvel):
            return {"qpos": qpos, "ok": jnp.ones(len(qpos), bool)}

        def step(self, physics, ctrl, wrench=None):
            assert wrench is None
            assert isinstance(ctrl, Tracer) is traceable
            return physics

    monkeypatch.setattr(doctor, "_MEASURE_S", 0.01)
    monkeypatch.setattr(registry, "build", lambda *_: Still())
    assert doctor._throughput("mujoco") > 0
