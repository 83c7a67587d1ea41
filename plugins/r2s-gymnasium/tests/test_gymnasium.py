"""Gymnasium's own checks, and what its users rely on in a vector environment of the same step."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector as wrappers

import r2s_gymnasium
from r2s_core import registry
from r2s_core.errors import R2SError
from r2s_core.registry import Entry
from r2s_core.rendering import render
from r2s_core.testing.environments import Seen, bandit, corridor, point_mass
from r2s_gymnasium.registration import register_installed

#: Quick to build and to step.
SMALL = {"objects": ["sample:soap"], "max_episode_steps": 5}
ID = "r2s/PickPlace-v0"


#: README's snippets, but for Stable-Baselines3's, which test_sb3.py runs.
_PYTHON = re.findall(
    r"^```python\n(import.*?)^```",
    (Path(__file__).parents[1] / "README.md").read_text(),
    flags=re.DOTALL | re.MULTILINE,
)


@pytest.fixture
def graphics(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    if render.probe_gl() is None:
        pytest.skip(render.missing_gl_advice())


def _check(env: gymnasium.Env) -> None:
    """Gymnasium's checker, with its warnings as errors: observations have no bounds."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=r".*observation space m(in|ax)imum value is")
        check_env(env)


@pytest.mark.usefixtures("graphics")
def test_gymnasiums_checker_passes_on_pick_and_place():
    env = gymnasium.make(ID, render_mode="rgb_array", width=64, height=48, **SMALL)
    _check(env.unwrapped)
    env.close()


@pytest.mark.usefixtures("graphics")
def test_the_frame_at_an_episodes_end_is_not_of_the_next_episode():
    env = r2s_gymnasium.make(
        "real2sim_pick_place", render_mode="rgb_array", width=64, height=48, **SMALL
    )
    env.reset(seed=0)
    frames: list[Any] = [env.render()]
    assert (frames[0].shape, frames[0].dtype) == ((48, 64, 3), np.uint8)
    for step in range(5):
        *_, truncated, _ = env.step(np.ones(9))
        assert truncated == (step == 4)
        frames.append(env.render())
    assert not np.array_equal(frames[3], frames[4])
    assert np.array_equal(frames[4], frames[5])
    env.reset()
    frames.append(env.render())
    assert not np.array_equal(frames[5], frames[6])
    env.close()


@pytest.mark.parametrize("text", _PYTHON, ids=["loop", "options"])
def test_the_readmes_snippets_run(text, capsys):
    seen: dict = {}
    exec(compile(text, "README.md", "exec"), seen)
    envs = seen["envs"]
    if "obs" in seen:
        assert seen["obs"].shape == envs.observation_space.shape == (64, 25)
        rates = [float(line) for line in capsys.readouterr().out.split()]
        assert np.mean(rates) < 0.5  # at random, pick-and-place hardly succeeds
    else:
        assert (envs.num_envs, envs.single_action_space.shape) == (8, (5,))
        assert envs.env.env.origin.config.environment.options.objects == ("sample:pear",)
    envs.close()


@pytest.mark.parametrize("obs_groups", [False, True])
def test_gymnasiums_checker_passes_on_any_environment(obs_groups, recwarn):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not having a spec")
        check_env(r2s_gymnasium.make(point_mass(1), obs_groups=obs_groups))
    said = [str(w.message) for w in recwarn if "observation space" not in str(w.message)]
    assert said == []


@pytest.mark.parametrize("hidden", [(0,), (0, 1)])
def test_what_a_policy_that_sees_reads_is_observed_and_nothing_privileged(hidden):
    seen = Seen(point_mass(2), hidden)
    envs = r2s_gymnasium.VectorEnv(2, config=seen)
    obs, _ = envs.reset(seed=0)
    assert set(obs) == set(seen.spec.policy_groups)
    assert ("policy" in obs, "critic" in obs) == (len(hidden) < 2, False)
    assert obs in envs.observation_space
    assert set(r2s_gymnasium.VectorEnv(2, config=seen, obs_groups=True).reset()[0]) == {
        *obs,
        "critic",
    }
    if "policy" not in obs:
        with pytest.raises(R2SError, match="no group of numbers 'policy'"):
            r2s_gymnasium.VectorEnv(2, config=seen, obs_groups=False)


def test_make_vec_gives_the_spaces_of_the_spec():
    envs = gymnasium.make_vec(ID, num_envs=3, action_space="ee_delta", **SMALL)
    assert isinstance(envs, r2s_gymnasium.VectorEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert envs.metadata["render_fps"] == pytest.approx(1 / envs.env.spec.control_dt)
    space = envs.single_action_space
    assert isinstance(space, gymnasium.spaces.Box)
    assert (space.dtype, space.low.tolist(), space.high.tolist()) == (np.float32, [-1] * 5, [1] * 5)
    assert envs.action_space.shape == (3, 5)
    obs, _ = envs.reset(seed=1)
    assert obs in envs.observation_space
    assert envs.spec is not None
    assert envs.spec.id == ID
    obs, reward, *_ = envs.step(envs.action_space.sample())
    assert obs in envs.observation_space
    assert reward.shape == (3,)
    envs.close()


class OneWorld(gymnasium.Env):
    """What Gymnasium's own vector environment is made of, for comparison with ours."""

    def __init__(self) -> None:
        self.inner = r2s_gymnasium.make(corridor(1, "truncation", length=2))
        self.observation_space = self.inner.observation_space
        self.action_space = self.inner.action_space

    def reset(self, *, seed=None, options=None):
        return self.inner.reset(seed=seed)

    def step(self, action):
        return self.inner.step(action)


def test_infos_have_the_form_of_gymnasiums_own_environments_of_the_same_step():
    own = SyncVectorEnv([OneWorld] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    ours = r2s_gymnasium.make_vec(corridor(2, "truncation", length=2), 2)
    obs, infos = ours.reset(seed=0)
    assert data_equivalence(own.reset(seed=0), (obs, infos))
    for _ in range(5):
        expected, got = own.step(np.zeros((2, 1))), ours.step(np.zeros((2, 1)))
        for a, b in zip(expected[:4], got[:4], strict=True):
            np.testing.assert_array_equal(a, b)
        found, due = dict(got[4]), dict(expected[4])
        if "final_info" in due:  # ours has the episode's return and length besides
            final = dict(found["final_info"])
            episode, _ = final.pop("episode"), final.pop("_episode")
            np.testing.assert_array_equal(episode["l"], [2, 2])
            found["final_info"] = final
        assert data_equivalence(due, found)


def test_only_the_worlds_that_ended_are_under_the_masks():
    def step(memory, action):
        return memory, action[0], action[0] > 0

    inner = bandit(3)
    inner.rules = type(inner.rules)(1, 1, 4, inner.rules.init, step, inner.rules.observe)
    envs = r2s_gymnasium.make_vec(inner, 3)
    first, _ = envs.reset(seed=0)
    obs, reward, terminated, truncated, info = envs.step(np.array([[-1.0], [1.0], [-1.0]]))
    ended = [False, True, False]
    np.testing.assert_array_equal(terminated, ended)
    assert not truncated.any()
    np.testing.assert_array_equal(info["_final_obs"], ended)
    np.testing.assert_array_equal(info["_final_info"], ended)
    np.testing.assert_array_equal(info["_success"], np.logical_not(ended))
    assert info["final_obs"][0] is None
    np.testing.assert_array_equal(info["final_obs"][1], first[1])
    assert obs[1] != first[1]
    np.testing.assert_array_equal(info["final_info"]["episode"]["r"], [0, 1, 0])
    np.testing.assert_array_equal(info["final_info"]["episode"]["_r"], ended)
    np.testing.assert_array_equal(reward, [-1, 1, -1])


def test_gymnasiums_vector_wrappers_work_on_it():
    envs = wrappers.RecordEpisodeStatistics(r2s_gymnasium.make_vec(point_mass(4, 3), 4))
    envs = wrappers.ClipReward(envs, 0.0, 0.5)
    _, info = envs.reset(seed=0)
    for _ in range(3):
        _, reward, *_, info = envs.step(envs.action_space.sample())
        assert (reward <= 0.5).all()
    own, theirs = info["final_info"]["episode"], info["episode"]
    np.testing.assert_allclose(own["r"], theirs["r"], rtol=1e-5)
    np.testing.assert_array_equal(own["l"], theirs["l"])


@pytest.mark.usefixtures("graphics")
def test_vector_frames_are_one_of_each_world():
    envs = gymnasium.make_vec(ID, 2, render_mode="rgb_array", width=48, height=32, **SMALL)
    envs.reset(seed=0)
    frames: Any = envs.render()
    assert [(x.shape, x.dtype) for x in frames] == [((32, 48, 3), np.uint8)] * 2
    assert not np.array_equal(*frames)  # the objects lie elsewhere
    envs.close()
    envs.close()


def test_seeds_repeat_and_one_world_goes_on_where_it_reset_itself():
    env = r2s_gymnasium.make(point_mass(1, 3))

    def play():
        seen, steps = [env.reset(seed=5)[0]], [env.step(np.ones(1)) for _ in range(3)]
        seen += [step[0] for step in steps]
        assert steps[-1][2:4] == (False, True)
        assert steps[-1][4] == {"success": False, "diverged": False, "metrics": {}}
        return [*seen, env.reset()[0], env.reset()[0]]

    first, second = play(), play()
    np.testing.assert_array_equal(first, second)
    assert first[3][0] != first[4][0]  # the end of one episode, and the start of the next
    assert first[4][0] != first[5][0]
    assert first[3][1] > first[2][1] > 0 == first[4][1]  # it sped up


def test_mistakes_are_told_in_one_sentence():
    envs = r2s_gymnasium.make_vec(point_mass(2), 2)
    with pytest.raises(R2SError, match=r"reset takes no options \(got reset_mask\)"):
        envs.reset(options={"reset_mask": np.ones(2, bool)})
    with pytest.raises(R2SError, match=r"one whole number, .* for all worlds together"):
        envs.reset(seed=[1, 2])  # type: ignore[arg-type]
    envs.reset(seed=np.int64(0))  # type: ignore[arg-type]
    with pytest.raises(R2SError, match="step takes numbers, one row for each world"):
        envs.step(np.zeros(2))
    with pytest.raises(R2SError, match="the action is an array of complex128; step takes"):
        envs.step(np.zeros((2, 1), complex))
    with pytest.raises(R2SError, match=r"of world 0 is 1e\+300 at index 0; it must be finite"):
        envs.step(np.full((2, 1), 1e300))
    with pytest.raises(R2SError, match="must be finite"):
        envs.step(np.full((2, 1), np.nan))
    with pytest.raises(R2SError, match=r"^none.yaml: no such file"):
        gymnasium.make_vec(ID, 2, config="none.yaml")
    with pytest.raises(R2SError, match=r"environment.object: unknown key; did you mean objects"):
        gymnasium.make(ID, object="scan.stl")


def test_whatever_environment_is_installed_has_an_id(monkeypatch):
    entries = [
        Entry("environment", name, "push:PLUGIN", dist, "1.0")
        for name, dist in (("my_push", "a"), ("twin", "a"), ("twin", "b"))
    ]
    monkeypatch.setattr(registry, "discover", lambda kind: entries)
    specs: dict[str, Any] = {}
    monkeypatch.setattr("gymnasium.envs.registration.registry", specs)
    monkeypatch.setattr(gymnasium, "registry", specs)
    register_installed()
    assert {spec.id: spec.kwargs["config"] for spec in specs.values()} == {
        ID: "real2sim_pick_place",
        "r2s/my_push-v0": "my_push",
        "r2s/a-twin-v0": "a:twin",
        "r2s/b-twin-v0": "b:twin",
    }


def test_registering_is_light_and_an_id_with_the_module_needs_no_import():
    code = (
        "import sys, gymnasium\n"
        "spec = gymnasium.envs.registration._find_spec('r2s_gymnasium:r2s/PickPlace-v0')\n"
        "print(spec.id, {'jax', 'mujoco'} & sys.modules.keys())\n"
        "import r2s_gymnasium; r2s_gymnasium.register_installed()"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (f"{ID} set()\n", "")
