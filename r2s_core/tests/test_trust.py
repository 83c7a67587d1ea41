"""Code that a configuration names: refused until trusted by content, and never run to be judged."""

import dataclasses
import os
import subprocess
import sys

import pytest
import yaml

from r2s_core import cli
from r2s_core.config import load_config, user_code
from r2s_core.errors import ConfigError
from r2s_core.system import trust
from r2s_core.training.trainer import Real2SimTrainer

_MARKS = "from pathlib import Path\nPath({mark!r}).touch()\ndef slow(transition): return 0.0\n"


@pytest.fixture
def mark(tmp_path):
    """A file that is there once the reward file has run."""
    return tmp_path / "it-ran"


@pytest.fixture
def config(tmp_path, mark, install, manifest):
    """A YAML file that names a reward function beside it."""
    points = {
        "r2s.environments": {"fake_env": "fake_env:PLUGIN"},
        "r2s.algorithms": {"fake_algo": "fake_algo:PLUGIN"},
    }
    modules = {
        "fake_env": manifest("fake_env", "environment", "fake_heavy:make"),
        "fake_algo": manifest("fake_algo", "algorithm", "fake_heavy:make"),
        "fake_heavy": "def make(*args): raise RuntimeError('was built')",
    }
    install("fake-all", points, modules)
    (tmp_path / "mine.py").write_text(_MARKS.format(mark=str(mark)))
    path = tmp_path / "x.yaml"
    rewards = {"slow": {"use": "mine.py:slow"}}
    environment = {"use": "fake_env", "rewards": rewards}
    path.write_text(
        yaml.safe_dump(
            {
                "environment": environment,
                "algorithms": {"fake_algo": {}},
                "output": str(tmp_path / "out"),
            }
        )
    )
    return path


@pytest.mark.parametrize("command", ["run", "compare"])
def test_a_reward_file_is_refused_with_what_would_run(config, mark, capsys, command, tmp_path):
    assert cli.main([command, str(config), "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    digest = trust.digest((tmp_path / "mine.py").read_bytes())
    for part in ("environment.rewards.slow", "function slow", "mine.py", digest[:16], "--trust"):
        assert part in error
    assert len(error.splitlines()) == 1
    assert not mark.exists()
    assert not (tmp_path / "out").exists()


def test_validate_runs_nothing_and_tells_what_needs_trust(config, mark, capsys):
    assert cli.main(["validate", str(config)]) == 0
    shown = capsys.readouterr().out
    assert "needs --trust: environment.rewards.slow would run function slow of " in shown
    assert not mark.exists()
    user_code.require(load_config(config), trust=True)
    assert cli.main(["validate", str(config)]) == 0
    assert "--trust" not in capsys.readouterr().out


def test_trusted_once_the_same_content_runs_wherever_it_lies(config, tmp_path, monkeypatch):
    user_code.require(load_config(config), trust=True)
    monkeypatch.setattr(trust, "_trusted", set())  # as another process
    user_code.require(load_config(config))
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("x.yaml", "mine.py"):
        (tmp_path / name).rename(moved / name)
    user_code.require(load_config(moved / "x.yaml"))

    with (moved / "mine.py").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(trust.UntrustedCodeError, match="function slow"):
        user_code.require(load_config(moved / "x.yaml"))


def test_without_a_home_trust_lasts_as_long_as_the_process(config, monkeypatch):
    monkeypatch.setattr(trust, "_store", lambda: None)
    user_code.require(load_config(config), trust=True)
    user_code.require(load_config(config))
    monkeypatch.setattr(trust, "_trusted", set())
    with pytest.raises(trust.UntrustedCodeError):
        user_code.require(load_config(config))


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_the_list_of_trusted_code_is_no_way_to_another_file(config, tmp_path):
    store = trust._store()
    assert store is not None
    store.parent.mkdir(parents=True)
    precious = tmp_path / "precious"
    precious.write_text("mine\n")
    store.symlink_to(precious)
    user_code.require(load_config(config), trust=True)
    assert precious.read_text() == "mine\n"


def test_from_python_the_same_is_said_with_trust(config, mark):
    with pytest.raises(trust.UntrustedCodeError, match="trust=True"):
        Real2SimTrainer(config).train()
    with pytest.raises(trust.UntrustedCodeError):
        Real2SimTrainer(config).create_environment()
    assert not mark.exists()
    loaded = load_config(config)
    user_code.require(loaded, trust=True)
    assert trust.trusted_source(f"{config.parent / 'mine.py'}:slow").startswith(b"from pathlib")


def test_the_source_is_read_once_and_bounded(config, tmp_path):
    reference = f"{tmp_path / 'mine.py'}:slow"
    (tmp_path / "mine.py").write_bytes(b"#" * (trust.SOURCE_LIMIT + 1))
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        trust.trusted_source(reference)


def test_it_imports_nothing_heavy():
    code = "import sys, r2s_core.system.trust as _; "
    code += "print([m for m in ('jax', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_evaluation_reads_no_reward_files_even_where_they_are_gone(tiny, tmp_path):
    """`r2s eval` and --robustness of a stranger's run execute nothing of it and need none of it."""
    from r2s_core.evaluation.evaluate import UNUSED

    path = tiny.write()
    values = yaml.safe_load(path.read_text())
    values["environment"]["rewards"] = {"gone": {"use": "gone.py:f"}}
    values["curriculum"] = {"rewards": {"gone": {"over": 0.5}}}
    path.write_text(yaml.safe_dump(values))
    config = load_config(path, UNUSED)
    assert user_code.reward_files(config) == []
    assert dataclasses.asdict(config)["curriculum"] == {}
