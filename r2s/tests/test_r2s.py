"""The module `r2s`: what its README shows, and what it costs to import."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import r2s
from r2s_core.config import load_config
from r2s_core.config.samples import sample_configs
from r2s_core.policy.saved import save_policy
from r2s_core.types import ArraySpec, EnvSpec, PolicyExport

README = Path(__file__).parents[1] / "README.md"
_PYTHON = re.findall(r"^```python\n(.*?)^```", README.read_text(), flags=re.DOTALL | re.MULTILINE)
#: What a policy needs no more of than NumPy.
_NOT_NEEDED = ("jax", "flax", "optax", "distrax", "mujoco", "r2s_algos_ppo", "r2s_envs_pick_place")


def _save(folder: Path, observations: int, actions: int) -> Path:
    """A policy that answers 0 to anything finite."""
    layer = (np.zeros((observations, actions)), np.zeros(actions))
    mean, std = np.zeros(observations), np.ones(observations)
    export = PolicyExport.mlp((layer,), "relu", mean, std, 10.0, "clip")
    spec = EnvSpec(
        num_worlds=1,
        observations={"policy": ArraySpec((observations,))},
        action_low=-np.ones(actions),
        action_high=np.ones(actions),
        max_episode_steps=80,
        control_dt=0.05,
        traceable=False,
    )
    return save_policy(folder / "policy", export, spec, task="real2sim_pick_place").parent


@pytest.mark.parametrize("text", _PYTHON, ids=["load and make", "make"])
def test_the_readmes_snippets_run(text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _save(tmp_path / "runs/quickstart", 59, 5)
    seen: dict = {}
    exec(compile(text, "README.md", "exec"), seen)
    if "policy" in seen:
        assert (seen["obs"].shape, seen["policy"](seen["obs"]).shape) == ((16, 59), (16, 5))
        assert "[False" in capsys.readouterr().out  # no episode of 0 succeeds
    else:
        assert (seen["env"].num_envs, seen["env"].spec.action_size) == (4, 5)


def test_the_samples_are_those_of_the_repository():
    folder = Path(__file__).parents[2] / "configs"
    assert {path.stem for path in folder.glob("*.yaml")} <= sample_configs().keys()
    assert load_config("quickstart") == load_config(folder / "quickstart.yaml")


def test_a_policy_is_loaded_and_run_by_numpy_alone(tmp_path):
    folder = _save(tmp_path, 3, 2)
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({_NOT_NEEDED!r}))\n"
        f"import r2s; print(r2s.load({str(folder)!r})([0.1, 0.2, 0.3]).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("[0.0, 0.0]\n", 0), done.stderr


def test_options_go_to_the_environment_and_the_face(tmp_path):
    env = r2s.make(
        "real2sim_pick_place",
        2,
        overrides=["environment.action_history=1"],
        max_episode_steps=3,
        critic_observations=["pose", "joints"],
        rewards={"reach": {"weight": 2.0}},
        randomization={"sensor_noise": {"readings": ["object_position"], "std": 0.003}},
        obs_groups=True,
    )
    obs, _ = env.reset(seed=1)
    assert {name: group.shape for name, group in obs.items()} == {
        "policy": (2, 34),
        "critic": (2, 50),
    }
    steps = [env.step(np.zeros((2, 9))) for _ in range(3)]
    _, reward, _, truncated, info = steps[-1]
    assert truncated.all()
    assert ((reward > 0) & (reward < 2)).all()
    assert (info["final_info"]["episode"]["r"] > reward).all()


def test_mistakes_are_told_in_one_sentence(tmp_path):
    for name, words in (
        ("quickstrat", r"^quickstrat: no such file, run, .* did you mean quickstart\?"),
        ("none.yaml", "^none.yaml: no such file"),
    ):
        with pytest.raises(r2s.R2SError, match=words):
            r2s.make(name)
    with pytest.raises(
        r2s.R2SError, match=r"^argument: environment.object: unknown key; did you m"
    ):
        r2s.make("quickstart", object="scan.stl")
    with pytest.raises(r2s.R2SError, match="num_parallel_envs: must be at least 1, got 0"):
        r2s.make("quickstart", 0)
    with pytest.raises(r2s.R2SError, match="there is no such folder"):
        r2s.load(tmp_path / "nothing")
    reward = tmp_path / "reward.py"
    reward.write_text("def still(transition):\n    return 0.0\n")
    with pytest.raises(r2s.R2SError, match="trust"):
        r2s.make("quickstart", rewards={"still": {"use": f"{reward}:still"}})
