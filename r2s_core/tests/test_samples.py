"""Configurations by name: paths first, then what installed packages bring."""

from __future__ import annotations

from pathlib import Path

import pytest

from r2s_core.compare.plan import sort_inputs
from r2s_core.config import load_config
from r2s_core.config.samples import locate, sample_configs
from r2s_core.errors import ConfigError


@pytest.fixture(autouse=True)
def samples(tmp_path, install, monkeypatch) -> Path:
    """An installed package with two samples; the working directory is empty."""
    place = install("brings-samples", {"r2s.configs": {"mine": "has_samples.inside.configs"}}, {})
    folder = place / "has_samples/inside/configs"
    folder.mkdir(parents=True)
    (place / "has_samples/__init__.py").write_text("raise RuntimeError('must not be imported')")
    for name in ("slow_walk", "fast_walk"):
        (folder / f"{name}.yaml").write_text("seed: 5\n")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return folder


def test_a_bare_name_is_a_sample_and_stderr_says_which_file(samples, capfd):
    assert sample_configs()["slow_walk"] == samples / "slow_walk.yaml"
    config = load_config("slow_walk", ["seed=6"], to_train=False)
    assert (config.name, config.seed, config.output) == (
        "slow_walk",
        6,
        Path("runs/slow_walk").absolute(),
    )
    assert f"slow_walk: the sample configuration {samples / 'slow_walk.yaml'}" in (
        capfd.readouterr().err
    )
    assert locate("slow_walk.yaml") == samples / "slow_walk.yaml"
    assert sort_inputs(["slow_walk", "seed=3"])[::2] == ([samples / "slow_walk.yaml"], ["seed=3"])


@pytest.mark.parametrize("file", ["slow_walk", "slow_walk.yaml"])
def test_a_file_of_that_name_wins(file):
    Path(file).write_text("seed: 1\n")
    assert locate("slow_walk") == Path(file)
    assert load_config("slow_walk", to_train=False).seed == 1


def test_a_folder_of_that_name_does_not_unless_it_is_a_runs(samples):
    Path("slow_walk").mkdir()
    assert locate("slow_walk") == samples / "slow_walk.yaml"
    Path("slow_walk/config.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"its configuration is slow_walk/config.yaml"):
        load_config("slow_walk")


def test_an_unknown_name_is_told_those_that_there_are():
    with pytest.raises(ConfigError) as caught:
        load_config("slowwalk")
    message = str(caught.value)
    assert message.startswith("slowwalk: no such file or sample configuration; did you mean slow_w")
    assert "fast_walk, " in message
    for path in ("configs/slow_walk.yaml", "./slow_walk.yaml", "none.yaml"):
        with pytest.raises(ConfigError, match="no such file"):
            load_config(path)


def test_overrides_may_be_python_values_and_are_blamed_as_arguments(samples):
    config = load_config("slow_walk", [("seed", 7), ("training.total_timesteps", 1e3)],
                         to_train=False)  # fmt: skip
    assert (config.seed, config.training.total_timesteps) == (7, 1000)
    with pytest.raises(ConfigError, match=r"^argument: training.total_timestep: unknown key; did"):
        load_config("slow_walk", [("training.total_timestep", 3)], to_train=False)


def test_only_training_needs_the_algorithm_installed(tmp_path):
    Path("x.yaml").write_text("algorithm: not_there_at_all\n")
    with pytest.raises(ConfigError, match="no algorithm named 'not_there_at_all' is installed"):
        load_config("x.yaml")
    assert load_config("x.yaml", to_train=False).algorithm == "not_there_at_all"
