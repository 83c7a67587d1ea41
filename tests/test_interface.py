"""The mission's Python interface, run as it is written."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files

import pytest

from r2s_core import Real2SimTrainer
from r2s_core.errors import AssetError, ConfigError
from r2s_envs_pick_place import Real2SimPickAndPlace


def test_the_missions_python_example_trains_and_evaluates(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    scans = tmp_path / "outputs/reconstructed_objects"
    scans.mkdir(parents=True)
    shutil.copy(str(files("r2s_envs_objects") / "samples/bottle.stl"), scans)
    config = {
        "environment": {"num_parallel_envs": 8, "max_episode_steps": 20},
        "training": {"total_timesteps": 256, "use_gpu": True},
        "algorithms": {"ppo": {"learning_rate": "3e-4", "num_epochs": 2, "num_steps": 16}},
        "evaluation": {"episodes": 8, "num_parallel_envs": 8, "video": False},
    }
    env = Real2SimPickAndPlace(
        num_parallel_envs=8, max_episode_steps=20, reconstructed_objects_dir=scans
    )
    trainer = Real2SimTrainer(config)
    assert trainer.create_environment().spec.num_worlds == 8
    assert "no GPU was found; falling back to the CPU" in capfd.readouterr().err
    trainer.train_ppo(env)
    told = capfd.readouterr().err
    assert f"environment.reconstructed_objects_dir: {scans} (configured: None)" in told
    assert "environment.max_episode_steps" not in told  # the same in both
    result = trainer.evaluate_model(trainer.run_dir)
    assert result["episodes"] == 8
    written = json.loads((trainer.run_dir / "result.json").read_text())
    assert written["object"] == "bottle"
    assert written["env_steps"] == 256
    # The run itself judged the policy that it saved, by the same episodes.
    assert written["metrics"] == pytest.approx(dict(result["metrics"]), rel=1e-5)
    assert 0.0 < result["metrics"]["goal_distance"] < 1.0  # m


def test_what_is_wrong_is_told_in_one_sentence(tmp_path):
    with pytest.raises(AssetError, match="no scans and no objects in it"):
        Real2SimPickAndPlace(reconstructed_objects_dir=tmp_path)
    with pytest.raises(ConfigError, match="did you mean action_space"):
        Real2SimPickAndPlace(action_spcae="ee_delta")
