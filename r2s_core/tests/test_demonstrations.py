"""Recorded demonstrations: played by an expert or read from a data set, and fitted to a task."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_core.config import load_mapping
from r2s_core.demonstrations import dataset, recording, source
from r2s_core.demonstrations.episode import DataSet, Episode, stacked
from r2s_core.env import VectorEnv
from r2s_core.env.build import wrap_task
from r2s_core.errors import ConfigError, R2SError
from r2s_core.policy import packed
from r2s_core.policy.saved import save_policy
from r2s_core.task_info import TaskInfo
from r2s_core.testing.tasks import CartTask
from r2s_core.types import (
    EXPERT_GROUP,
    Array,
    ArraySpec,
    PolicyExport,
    View,
    demonstrations_of,
)

WORLDS = 3
STEPS = 12
NAMES = ("distance", "tilt", "speed", "turning")


class Driver(CartTask):
    """Drives towards the target at a speed that falls with the distance."""

    def __init__(self) -> None:
        super().__init__()
        self.info = dataclasses.replace(
            self.info,
            rewards={},
            observation_names={"policy": NAMES},
            action_names=("force",),
            episode_steps=STEPS,
            robot="none",
        )

    def expert(self, task: Any, view: View) -> Array:
        return 4.0 * (task.target - view.qpos[:1]) - view.qvel[:1]


class Hopeless(Driver):
    """Never succeeds."""

    def success(self, task: Any, view: View) -> Array:
        return view.qpos[0] > 100.0


def config(**demonstrations: Any) -> Any:
    return load_mapping(
        {
            "backend": "mujoco",
            "environment": {"num_parallel_envs": WORLDS},
            "demonstrations": {"source": "script"} | demonstrations,
        }
    )


def environment(task: CartTask | None = None, settings: Any = None) -> VectorEnv:
    return wrap_task(task or Driver(), settings or config(), training=True)


@pytest.fixture(scope="module")
def env() -> VectorEnv:
    return environment()


def recorded(env: VectorEnv, episodes: int = 4, **options: Any) -> list[Any]:
    options = {"successful_only": False} | options
    return list(recording.record(env, 0, episodes, **options))


# Recording.


def test_an_episode_is_what_the_expert_saw_and_did(env):
    episodes = recorded(env)
    assert [episode.start.world for episode in episodes] == [0, 1, 2, 0]
    assert [episode.start.round for episode in episodes] == [0, 0, 0, 1]
    for episode in episodes:
        assert len(episode) == STEPS
        assert set(episode.obs) == {"policy"}
        observed = episode.obs["policy"]
        wanted = np.clip(-4.0 * observed[:, :1] - observed[:, 2:3], -1.0, 1.0)
        np.testing.assert_allclose(episode.label, wanted, atol=1e-5)
        np.testing.assert_array_equal(episode.action, episode.label)
        assert episode.success == (abs(episode.final_obs["policy"][0]) < 0.05)


def test_each_round_can_be_played_again(env):
    first, again = recorded(env, 7), recorded(env, 7)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.obs["policy"], b.obs["policy"])
    assert not np.array_equal(first[0].obs["policy"], first[3].obs["policy"])
    world, start = first[4], first[4].start
    state, obs = env.from_the_start().reset(recording.reset_key(start.seed, start.round))
    for t in range(STEPS):
        np.testing.assert_array_equal(obs["policy"][start.world], world.obs["policy"][t])
        action = np.zeros((WORLDS, 1), np.float32)
        action[start.world] = world.action[t]
        state, step = env.step(state, action)
        obs = step.obs


def test_noise_is_on_what_is_executed_and_not_on_the_label(env):
    episodes = recorded(env, noise_std=0.2)
    label = np.concatenate([episode.label for episode in episodes])
    action = np.concatenate([episode.action for episode in episodes])
    inside = np.abs(action) < 1
    assert 0.1 < np.std((action - label)[inside]) < 0.3
    observed = np.concatenate([episode.obs["policy"] for episode in episodes])
    wanted = np.clip(-4.0 * observed[:, :1] - observed[:, 2:3], -1.0, 1.0)
    np.testing.assert_allclose(label, wanted, atol=1e-5)


def test_failures_are_left_out_and_an_expert_that_cannot_do_it_is_told(env):
    kept = recorded(env, 5, successful_only=True)
    assert all(episode.success for episode in kept)
    assert len(kept) == 5
    with pytest.raises(R2SError, match=r"of \d+ episodes .* 0 succeeded"):
        recorded(environment(Hopeless()), 1, successful_only=True)


def test_few_episodes_from_many_worlds_are_no_sign_of_failure():
    many = config()
    engine = dataclasses.replace(many.environment.engine, num_parallel_envs=256)
    settings = dataclasses.replace(
        many, environment=dataclasses.replace(many.environment, engine=engine)
    )
    assert len(recorded(environment(None, settings), 2)) == 2


def test_episodes_begin_at_the_start_although_training_staggers_them(env):
    assert env.options.stagger
    state, _ = env.from_the_start().reset(jax.random.key(0))
    assert (np.asarray(state.elapsed) == 0).all()
    assert env.options.stagger


# Arrays to learn from.


def test_steps_of_all_episodes_follow_each_other(env):
    episodes = recorded(env, 2)
    steps = stacked(episodes)
    assert steps.label.shape == (2 * STEPS, 1)
    np.testing.assert_array_equal(steps.obs["policy"][STEPS + 1], steps.next_obs["policy"][STEPS])
    np.testing.assert_array_equal(
        steps.next_obs["policy"][STEPS - 1], episodes[0].final_obs["policy"]
    )
    assert np.flatnonzero(steps.truncated).tolist() == [STEPS - 1, 2 * STEPS - 1]
    assert not steps.terminated.any()
    assert steps.episode.tolist() == [0] * STEPS + [1] * STEPS


def _plain(length: int, **changes: Any) -> Episode:
    obs = {"policy": np.arange(4.0 * length, dtype=np.float32).reshape(length, 4)}
    label = np.linspace(-1, 1, length, dtype=np.float32)[:, None]
    return dataclasses.replace(Episode(obs, label, label, terminated=False), **changes)


def test_a_last_step_whose_outcome_is_needed_but_unknown_is_left_out():
    assert len(stacked([_plain(3)]).label) == 2
    assert len(stacked([_plain(3, terminated=True)]).label) == 3
    with pytest.raises(R2SError, match="not a single step"):
        stacked([_plain(1)])


def test_without_rewards_in_one_episode_there_are_none():
    rewarded = _plain(3, reward=np.ones(3, np.float32))
    assert stacked([rewarded]).reward is not None
    assert stacked([rewarded, _plain(3)]).reward is None


# A data set.


def _kept(tmp_path: Path, *episodes: Episode, names: Any = None, rate: float = 50.0) -> Path:
    path = tmp_path / "demonstrations-0123456789abcdef.safetensors"
    names = {"policy": NAMES, "action": ("force",)} if names is None else names
    path.write_bytes(dataset.pack(DataSet(episodes, names, rate)))
    return path


def test_what_a_run_keeps_is_what_was_read(tmp_path):
    full = _plain(
        3,
        reward=np.ones(3, np.float32),
        success=True,
        final_obs={"policy": np.ones(4, np.float32)},
        terminated=True,
    )
    path = _kept(tmp_path, full, _plain(5))
    found = dataset.read(config(source=str(path)).demonstrations)
    assert found.names == {"policy": NAMES, "action": ("force",)}
    for a, b in zip(found.episodes, (full, _plain(5)), strict=True):
        jax.tree.map(np.testing.assert_array_equal, vars(a), vars(b))


def _with(env: VectorEnv, settings: Any) -> Any:
    lines: list[str] = []
    found = demonstrations_of(source.with_demonstrations(env, settings, lines.append))
    assert found is not None
    return found, lines


def test_a_data_set_comes_in_the_order_of_the_task(tmp_path, env):
    names = {"policy": (*NAMES[::-1], "more"), "action": ("force",)}
    observed = np.arange(15, dtype=np.float32).reshape(3, 5)
    path = _kept(tmp_path, _plain(3, obs={"policy": observed}, terminated=True), names=names)
    found, lines = _with(env, config(source=str(path)))
    np.testing.assert_array_equal(found.obs["policy"], observed[:, 3::-1])
    assert lines == ["demonstrations: 1 episodes, 3 control steps"]
    assert demonstrations_of(env) is None


@pytest.mark.parametrize(
    ("changes", "options", "rate", "refusal"),
    [
        ({"obs": {"policy": np.ones((3, 5), np.float32)}}, {}, 50.0, r"policy has shape \[5\].*4"),
        ({"obs": {"state": np.ones((3, 4), np.float32)}}, {}, 50.0, "nothing for .* 'policy'"),
        ({"label": np.ones((3, 2), np.float32)}, {}, 50.0, r"action has shape \[2\]"),
        ({"label": np.full((3, 1), 30.0, np.float32)}, {}, 50.0, "100% of its actions force"),
        ({"obs": {"policy": np.full((3, 4), np.nan, np.float32)}}, {}, 50.0, "not finite"),
        ({"obs": {"policy": np.full((3, 4), 1e20, np.float32)}}, {}, 50.0, "holds 1e"),
        ({"reward": np.full(3, 3e38, np.float32)}, {}, 50.0, r"reward holds 3e\+38"),
        ({}, {"noise_std": 0.1}, 50.0, "a data set is as it was recorded"),
        ({}, {}, 30.0, "30 steps a second, and this environment 50"),
        ({}, {"episodes": 2}, 50.0, "has 1 episodes to learn from, but .* is 2"),
        ({"success": False}, {}, 50.0, "none of its 1 episodes succeeded"),
    ],
)
def test_a_data_set_that_does_not_fit_is_refused(tmp_path, env, changes, options, rate, refusal):
    path = _kept(tmp_path, _plain(3, **changes), names={}, rate=rate)
    with pytest.raises(ConfigError, match=refusal):
        _with(env, config(source=str(path), **options))


class Seeing(Driver):
    """With a camera."""

    def observe(self, task: Any, view: View) -> Any:
        return {**super().observe(task, view), "camera": jnp.zeros((2, 3, 1), jnp.uint8)}


def test_images_are_learned_from_as_they_are_kept_and_must_be_of_the_same_kind(tmp_path):
    env, images = environment(Seeing()), np.arange(18, dtype=np.uint8).reshape(3, 2, 3, 1)
    plain = _plain(3)

    def learned(**obs: np.ndarray) -> Any:
        path = _kept(tmp_path, _plain(3, obs={**plain.obs, **obs}))
        return _with(env, config(source=str(path)))[0].obs["camera"]

    kept = learned(camera=images)
    assert kept.dtype == np.uint8
    np.testing.assert_array_equal(kept, images[:2])
    with pytest.raises(ConfigError, match="camera is uint16, and this environment's uint8"):
        learned(camera=images.astype(np.uint16))
    with pytest.raises(ConfigError, match=r"\[4, 3, 1\], and .* not resized: change the camera's"):
        learned(camera=images.repeat(2, axis=1))
    with pytest.raises(ConfigError, match=r"the camera's images 'camera'; .*features\.camera`"):
        learned()


def test_what_cannot_be_in_memory_is_told_before_it_is_learned_from(folder, monkeypatch):
    monkeypatch.setattr("r2s_core.device.available_memory", lambda: 100)
    with pytest.raises(ConfigError, match=r"its episodes: learning from .* takes .*; use fewer"):
        source.keep(config(source=str(folder)), lambda name, data: Path(name))


def test_failures_of_a_data_set_are_left_out_unless_wanted(tmp_path, env):
    path = _kept(tmp_path, _plain(3, success=False), _plain(5, success=True), _plain(4))
    assert len(_with(env, config(source=str(path)))[0].label) == 4 + 3
    both = config(source=str(path), successful_only=False, episodes=2)
    assert len(_with(env, both)[0].label) == 2 + 4


@pytest.mark.parametrize(
    ("name", "content", "refusal"),
    [
        ("nothing/here", None, "no such folder"),
        ("text.safetensors", b"what", "is damaged"),
        ("cut.safetensors", dataset.pack(DataSet((_plain(3),), {}, 50.0))[:-5], "is damaged"),
        ("folder/", None, "neither a run"),
    ],
)
def test_what_is_no_data_set_is_refused(tmp_path, env, name, content, refusal):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    elif name.endswith("/"):
        path.mkdir()
    with pytest.raises(ConfigError, match=refusal):
        _with(env, config(source=str(path)))


_READER = """
import numpy as np
from r2s_core.demonstrations.episode import DataSet, Episode

def read(path, features, episodes):
    if (path / "broken").exists():
        return 1 / 0
    label = np.full((3, 1), float((path / "mark.txt").read_text()), np.float32)
    obs = {"policy": np.zeros((3, 4), np.float32)}
    return DataSet((Episode(obs, label, label, True),) * (episodes or 5), {}, 50.0)
"""
_MANIFEST = """
from r2s_core.plugin import Plugin
PLUGIN = Plugin("fake", "dataset", "made for a test", "fake_reader:read", marker="mark.txt")
"""


@pytest.fixture
def folder(install, tmp_path) -> Path:
    """A data set of a format that another package reads."""
    modules = {"fake_format": _MANIFEST, "fake_reader": _READER}
    install("fake-format", {"r2s.datasets": {"fake": "fake_format:PLUGIN"}}, modules)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "mark.txt").write_text("0.5")
    return folder


def test_another_packages_format_is_found_by_its_mark(folder, env):
    found, _ = _with(env, config(source=str(folder)))
    assert len(found.label) == 5 * 3
    some = config(source=str(folder), episodes=2, successful_only=False)
    assert len(_with(env, some)[0].label) == 2 * 3
    (folder / "broken").touch()
    with pytest.raises(R2SError, match="fake"):
        _with(env, config(source=str(folder)))


def test_a_run_keeps_its_data(folder, tmp_path, env):
    def keep(name: str, data: bytes) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    changed = source.keep(config(source=str(folder)), keep)
    assert changed.demonstrations.source == tmp_path / "demonstrations.safetensors"
    (folder / "mark.txt").unlink()
    np.testing.assert_array_equal(_with(env, changed)[0].label, 0.5)
    assert source.keep(config(), keep) == config()


def test_a_run_learns_from_what_it_keeps_whatever_became_of_the_source(tmp_path, folder, env):
    settings = config(source=str(folder))
    content: list[bytes] = []

    def keep(name: str, data: bytes) -> Path:
        content.append(data)
        return tmp_path / name

    source.keep(settings, keep)
    (folder / "mark.txt").write_text("-0.5")
    lines: list[str] = []
    learned = source.with_demonstrations(env, settings, lines.append, content[0])
    found = demonstrations_of(learned)
    assert found is not None
    np.testing.assert_array_equal(found.label, 0.5)
    told = source.described(settings, "../data", learned)
    assert told == "5 recorded episodes (15 control steps) of data"
    assert source.described(config(), "script", env) == "the scripted expert, asked in every state"


def test_more_than_a_run_can_keep_is_refused_before_it_trains(folder, monkeypatch):
    monkeypatch.setattr(dataset, "LIMIT", 100)
    with pytest.raises(ConfigError, match=r"a run keeps at most 0\.1 kB; set .*episodes"):
        source.keep(config(source=str(folder)), lambda name, data: Path(name))


def test_names_that_do_not_match_are_told(tmp_path, env):
    names = {"policy": ("distance", "tilt", "speed", "spin"), "action": ("force",)}
    path = _kept(tmp_path, _plain(3), names=names)
    _, lines = _with(env, config(source=str(path)))
    assert "its 'policy' does not name turning, as the environment does" in lines[0]


# A run's policy as the expert.

_ROBOT = TaskInfo(robot="gripper_3000")
KERNEL = np.asarray([[-4.0], [0.0], [-1.0], [0.0]], np.float32)


def _policy(folder: Path, names: tuple[str, ...] = NAMES, **changes: Any) -> Path:
    """What the scripted expert does, as the policy of a run that observed `names`."""
    spec = dataclasses.replace(
        environment().spec, observations={"policy": ArraySpec((len(names),), names=names)}
    )
    kernel = np.zeros((len(names), 1), np.float32)
    for name, row in zip(NAMES, KERNEL, strict=True):
        kernel[names.index(name) if name in names else 0] = row
    export = PolicyExport.mlp(
        layers=((kernel, np.zeros(1, np.float32)),),
        activation="elu",
        observation_mean=np.zeros(len(names), np.float32),
        observation_std=np.ones(len(names), np.float32),
        observation_clip=100.0,
        output="clip",
    )
    spec = dataclasses.replace(spec, **changes)
    robot = {"robot": spec.task.robot}
    save_policy(folder / "policy", export, spec, task="cart", provenance=robot)
    return folder


@pytest.mark.parametrize("names", [NAMES, NAMES[::-1]])
@pytest.mark.parametrize("packs", [False, True])
def test_it_reads_what_it_was_trained_on_by_name(tmp_path, env, names, packs):
    path = _policy(tmp_path, names)
    if packs:
        path = tmp_path / "kept.safetensors"
        path.write_bytes(packed.pack(packed.load(tmp_path)))
    taught = environment(settings=config(source=str(path)))
    scripted, obs = (e.from_the_start().reset(jax.random.key(5))[1] for e in (env, taught))
    np.testing.assert_allclose(obs[EXPERT_GROUP], scripted[EXPERT_GROUP], atol=1e-5)
    assert recorded(taught, 1)[0].label.shape == (STEPS, 1)


@pytest.mark.parametrize(
    ("names", "changes", "refusal"),
    [
        ((*NAMES[:3], "turn"), {}, "reads turn, which .* did you mean turning"),
        (NAMES, {"action_names": ("power",)}, "it acts by power, and this environment by force"),
        (NAMES, {"task": _ROBOT}, "trained with the robot gripper_3000"),
        (NAMES, {"control_dt": 0.05}, "acts 20 times a second, and this environment 50"),
        (NAMES, {"action_low": np.asarray([-2.0])}, "the low bounds of its actions differ"),
    ],
)
def test_a_run_that_cannot_act_here_is_refused(tmp_path, names, changes, refusal):
    path = _policy(tmp_path, names, **changes)
    with pytest.raises(ConfigError, match=refusal):
        environment(settings=config(source=str(path)))


def test_a_run_keeps_the_policy_that_it_learned_from(tmp_path):
    kept: dict[str, bytes] = {}

    def keep(name: str, data: bytes) -> Path:
        kept[name] = data
        return tmp_path / "inputs" / name

    changed = source.keep(config(source=str(_policy(tmp_path))), keep)
    assert changed.demonstrations.source == tmp_path / "inputs" / "expert.safetensors"
    damaged = kept["expert.safetensors"][:-4] + b"damn"
    (tmp_path / "damaged.safetensors").write_bytes(damaged)
    with pytest.raises(R2SError, match="its SHA-256 differs"):
        environment(settings=config(source=str(tmp_path / "damaged.safetensors")))


# Where there is none.


def test_an_expert_that_is_asked_is_not_recorded(env):
    assert source.with_demonstrations(env, config(), print) is env
    assert EXPERT_GROUP in env.spec.observations


def test_a_word_that_is_no_source_is_refused():
    with pytest.raises(ConfigError, match=r"source is 'scirpt'.*as \./scirpt"):
        config(source="scirpt")
