"""The configurations that ship, and the mission's own example, load as they are written."""

from pathlib import Path

import pytest

from r2s_core.build import start_bank_steps
from r2s_core.config import load_config

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
