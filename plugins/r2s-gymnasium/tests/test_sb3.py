"""Stable-Baselines3 trains through the adapter; needs `pip install "r2s-gymnasium[sb3]"`.

Neither `make test` nor CI installs PyTorch, so there this skips. To run it:

    python -m venv --system-site-packages sb3 && sb3/bin/pip install stable-baselines3
    sb3/bin/python -m pytest plugins/r2s-gymnasium/tests/test_sb3.py
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (PyTorch)")

import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.evaluation import evaluate_policy

import r2s_gymnasium
from r2s_core.errors import R2SError
from r2s_core.rendering import render
from r2s_core.testing.environments import constant_reward, corridor, point_mass
from r2s_gymnasium.sb3 import SB3VecEnv

torch.set_num_threads(1)  # networks this small are faster so
SMALL = {"objects": ["sample:soap"], "max_episode_steps": 5}


@pytest.mark.parametrize("obs_groups", [False, True])
def test_stable_baselines_checker_passes(obs_groups):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(r2s_gymnasium.make("real2sim_pick_place", obs_groups=obs_groups, **SMALL))


def test_an_ended_episode_is_told_as_stable_baselines_expects():
    for ends_by in ("termination", "truncation"):
        envs = SB3VecEnv(corridor(2, ends_by, length=2), 2)
        start = envs.reset()
        obs, reward, done, infos = envs.step(np.zeros((2, 1)))
        assert not done.any()
        assert infos == [{}, {}]
        obs, reward, done, infos = envs.step(np.zeros((2, 1)))
        assert done.all()
        np.testing.assert_array_equal(obs, start)
        np.testing.assert_array_equal(reward, [1, 1])
        for info in infos:
            assert info["TimeLimit.truncated"] == (ends_by == "truncation")
            assert info["episode"] == {"r": 2.0, "l": 2}
            assert (info["is_success"], info["diverged"], info["metrics"]) == (False, False, {})
            place = 2 if ends_by == "termination" else 0  # where truncated, the corridor is a ring
            np.testing.assert_array_equal(info["terminal_observation"], np.eye(3)[place])


def test_groups_are_told_apart_at_the_end_too():
    envs = SB3VecEnv(corridor(2, "termination", length=1), 2, obs_groups=True)
    assert envs.reset()["policy"].shape == (2, 2)
    *_, infos = envs.step(np.zeros((2, 1)))
    np.testing.assert_array_equal(infos[1]["terminal_observation"]["policy"], [0, 1])


def test_seeds_repeat_and_what_no_world_has_is_refused():
    envs = SB3VecEnv(point_mass(3), 3)
    envs.seed(4)
    first, second = envs.reset(), envs.reset()
    envs.seed(4)
    np.testing.assert_array_equal(envs.reset(), first)
    np.testing.assert_array_equal(envs.reset(), second)
    assert not np.array_equal(first, second)
    assert envs.get_attr("num_envs", [0, 2]) == [3, 3]
    assert not envs.has_attr("nothing")
    for call in (lambda: envs.set_attr("gravity", 1.0), lambda: envs.env_method("jump")):
        with pytest.raises(R2SError, match="the worlds are stepped as one"):
            call()


def test_the_readmes_snippet_trains_on_pick_and_place():
    readme = Path(__file__).parents[1] / "README.md"
    (text,) = re.findall(
        r"^```python\n(from.*?)^```", readme.read_text(), flags=re.DOTALL | re.MULTILINE
    )
    seen: dict = {}
    exec(compile(text.replace("100_000", "4_096"), "README.md", "exec"), seen)
    model = seen["model"]
    assert model.num_timesteps == 4096
    assert len(model.ep_info_buffer) > 10  # SB3 has heard of episodes that ended
    assert len(model.ep_success_buffer) == len(model.ep_info_buffer)


def test_frames_are_tiled(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    if render.probe_gl() is None:
        pytest.skip(render.missing_gl_advice())
    envs = SB3VecEnv(
        "real2sim_pick_place", 2, render_mode="rgb_array", width=48, height=32, **SMALL
    )
    envs.reset()
    tiled = envs.render()
    assert tiled is not None
    assert tiled.shape in ((32, 96, 3), (64, 48, 3))
    envs.close()


def test_ppo_bootstraps_truncated_episodes():
    """The value is 1 / (1 - discount) = 5, which a learner that ends them for good never finds."""
    envs = SB3VecEnv(constant_reward(8, max_episode_steps=4), 8)
    ppo = PPO("MlpPolicy", envs, n_steps=32, gamma=0.8, learning_rate=3e-3, seed=0, device="cpu")
    ppo.learn(16_384)
    value = ppo.policy.predict_values(ppo.policy.obs_to_tensor(np.zeros((1, 1)))[0])
    assert value.item() == pytest.approx(5.0, abs=0.5)


@pytest.mark.parametrize("learner", ["ppo", "sac"])
def test_it_learns_to_hold_a_point(learner):
    """A good policy earns above 0.85 per step, a random one 0.4."""
    envs = SB3VecEnv(point_mass(16), 16)
    if learner == "ppo":
        model = PPO(
            "MlpPolicy", envs, n_steps=64, batch_size=256, gamma=0.95, learning_rate=2e-3, seed=0,
            device="cpu",
        ).learn(80_000)  # fmt: skip
    else:
        model = SAC(
            "MlpPolicy", envs, gamma=0.95, learning_rate=2e-3, learning_starts=500,
            gradient_steps=4, policy_kwargs={"net_arch": [64, 64]}, seed=0, device="cpu",
        ).learn(6_000)  # fmt: skip
    fresh = SB3VecEnv(point_mass(16), 16)
    fresh.seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a Monitor that were missing
        mean, _ = evaluate_policy(model, fresh, n_eval_episodes=32)
    assert mean / 40 > 0.85
