"""The configurations that ship, and the mission's own example, load as they are written."""

import shutil
from pathlib import Path

import pytest

from r2s_core.config import load_config
from r2s_core.env.build import make_randomizers, start_bank_steps
from r2s_core.errors import ConfigError
from r2s_core.evaluation.evaluate import evaluate_run
from r2s_core.testing.tasks import CartTask

_CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))

_MISSION = """\
environment:
  num_parallel_envs: 4096
  max_episode_steps: 200
training:
  total_timesteps: 1000000
  use_gpu: true
algorithms:
  ppo:
    learning_rate: 3e-4
    num_epochs: 10
"""


@pytest.mark.parametrize("path", _CONFIGS, ids=lambda path: path.name)
def test_a_shipped_configuration_is_valid(path):
    assert load_config(path).name == path.stem


def test_the_missions_example_means_what_it_says(tmp_path):
    path = tmp_path / "mission.yaml"
    path.write_text(_MISSION)
    config = load_config(path)
    engine, ppo = config.environment.engine, config.chosen_algorithm
    assert config.environment.use == "real2sim_pick_place"
    assert (engine.num_parallel_envs, engine.max_episode_steps) == (4096, 200)
    assert (config.training.total_timesteps, config.training.use_gpu) == (1_000_000, True)
    assert (ppo.use, ppo.options.learning_rate, ppo.options.num_epochs) == ("ppo", 3e-4, 10)


def test_a_misspelt_option_of_the_real_ppo_is_told_as_the_readme_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("configs").mkdir()
    Path("configs/x.yaml").write_text(_MISSION.replace("learning_rate", "learning_rte"))
    with pytest.raises(
        Exception, match=r"^configs/x.yaml:9: algorithms.ppo.learning_rte"
    ) as caught:
        load_config("configs/x.yaml")
    assert str(caught.value).endswith("unknown key; did you mean learning_rate?")


def test_the_start_state_bank_is_spent_by_its_share_of_the_training(tmp_path):
    path = tmp_path / "short.yaml"
    path.write_text(_MISSION)
    assert start_bank_steps(load_config(path), num_worlds=100) is None
    config = load_config(path, ["environment.start_state_until=0.8"])
    assert start_bank_steps(config, num_worlds=100) == 8000  # control steps of each world


def test_a_run_is_evaluated_without_its_randomization_by_taking_that_out_alone(
    tmp_path, monkeypatch
):
    """Its curriculum, which speaks of it, is nothing to an evaluation."""
    (randomized,) = (path for path in _CONFIGS if path.name == "randomized.yaml")
    shutil.copy(randomized, tmp_path / "config.yaml")
    seen = []
    played = {"success_rate": 1.0, "success_ci95": [0.9, 1.0], "episodes": 1}
    monkeypatch.setattr(
        "r2s_core.evaluation.evaluate.evaluate_policy",
        lambda config, *_: seen.append(config) or played,
    )
    monkeypatch.setattr("r2s_core.evaluation.evaluate.print_result", lambda result: None)
    evaluate_run(tmp_path, overrides=["randomization={}"])
    evaluate_run(tmp_path)
    assert [len(config.randomization) for config in seen] == [0, 10]


def test_a_randomizer_that_finds_nothing_to_vary_is_told_with_its_place(tmp_path):
    path = tmp_path / "mission.yaml"
    path.write_text(_MISSION)
    config = load_config(path, ["randomization.heavier={use: mass, bodies: [nothing]}"])
    with pytest.raises(ConfigError, match=r"^randomization.heavier: bodies: .* nothing"):
        make_randomizers(config, CartTask(), CartTask().scene())
