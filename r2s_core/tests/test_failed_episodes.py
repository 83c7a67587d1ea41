"""An episode of each kind of failure is kept, whole: MuJoCo, from the file alone, does the same."""

import argparse
import functools
import io
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_core.backends.mujoco import MujocoBackend
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.cli import replay as command
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.errors import R2SError
from r2s_core.evaluation.episodes import run_episodes, summarise
from r2s_core.evaluation.failed_episodes import FailureWatch, packed
from r2s_core.evaluation.replay import described, read_episode, replay
from r2s_core.rendering.failures import keep_failures
from r2s_core.task_info import TaskInfo
from r2s_core.testing.tasks import CartTask
from r2s_core.types import WRENCH

WORLDS, STEPS = 8, 30


class Cart(CartTask):
    """It fails on the left or on the right of its target, or off the track."""

    info = TaskInfo(
        failures={"left": "left of the target"}, terminated="off, the track", out_of_time="right"
    )

    def metrics(self, task, view):
        left = view.qpos[0] < task.target
        return {**super().metrics(task, view), "left": left.astype(jnp.float32)}


class Heavier:
    """The masses of all bodies, by up to half; the constants that MuJoCo derives follow."""

    stage, writes = "model", frozenset({"body_mass", "opt.gravity"})

    def __call__(self, key, values):
        factor = 1.0 + 0.5 * jax.random.uniform(key)
        return {name: values[name] * factor for name in self.writes}


class Push:
    """A force on the cart in every control step."""

    stage, writes = "wrench", frozenset({"wrench"})

    def __call__(self, key, values):
        return {"wrench": values["wrench"].at[1, 0].set(2.0 * jax.random.normal(key))}


class Coarse:
    """A backend whose own state is not known."""

    def __init__(self, backend: MujocoBackend) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        if name == "integration_state":
            raise AttributeError(name)
        return getattr(self._backend, name)


def cart(randomizers: Any = None, coarse: bool = False) -> VectorEnv:
    task = Cart()
    scene = task.scene()
    backend: Any = MujocoBackend(scene, WORLDS, MujocoConfig(threads=1))
    backend = Coarse(backend) if coarse else backend
    return VectorEnv(task, scene, backend, {}, EngineOptions(STEPS), randomizers)


def policy(obs, key):
    return jnp.sign(jax.random.normal(key, (WORLDS, 1)))


def failed(env: VectorEnv, per_world: int = 3) -> tuple[FailureWatch, Any]:
    watch = FailureWatch(env)
    return watch, run_episodes(env, policy, jax.random.key(3), per_world, watch=watch)


read_own = functools.partial(read_episode, trust=True)


@pytest.fixture(scope="module")
def varied() -> tuple[VectorEnv, FailureWatch, Any]:
    """The cart under other masses, gravity and pushes."""
    env = cart(randomizers={"heavier": Heavier(), "push": Push()})
    assert WRENCH in env.backend.batchable
    return env, *failed(env)


def saved(tmp_path: Any, env: VectorEnv, episode: Any) -> Any:
    path = tmp_path / "episode.npz"
    path.write_bytes(packed(episode, env, {"run": "a run"}))
    return path


def test_there_is_one_episode_of_each_kind(varied):
    env, watch, episodes = varied
    kinds = summarise(episodes, env.spec.task)["failures"]
    assert len(kinds) >= 2
    assert watch.found.keys() == kinds.keys()
    for kind, episode in watch.found.items():
        last = {name: column[-1] for name, column in episode.recording.metrics.items()}
        assert (last["left"] > 0.5) == (kind == "left")
        assert not episode.recording.success
        assert episode.recording.failure == kind
        # It is whole: it begins where an episode does, at rest but for the cart.
        assert len(episode.action) == len(episode.recording.qpos) == STEPS
        np.testing.assert_allclose(episode.recording.qpos[0, 2:], env.scene.model.qpos0[2:])
        assert len(episode.recording.qpos) in set(episodes.episode_length)


def test_mujoco_does_the_same_from_the_file_alone_to_the_last_bit(varied, tmp_path):
    env, watch, _ = varied
    for kind, episode in watch.found.items():
        log = read_own(saved(tmp_path, env, episode))
        assert log.about["failure"] == kind
        assert log.about["run"] == "a run"
        assert not replay(log).any()
        moved = np.abs(np.diff(log.arrays["qpos"], axis=0)).max()
        assert moved > 1e-3
        assert described(log)[-1].endswith("to the last bit")


def test_the_file_holds_what_was_done_in_the_worlds_own_model(varied, tmp_path):
    env, watch, _ = varied
    episode = next(iter(watch.found.values()))
    log = read_own(saved(tmp_path, env, episode))
    arrays, control_dt = log.arrays, env.spec.control_dt
    shapes = {"qpos": env.scene.model.nq, "qvel": env.scene.model.nv, "ctrl": 1, "action": 1}
    for name, size in shapes.items():
        assert arrays[name].shape == (STEPS, size)
    np.testing.assert_allclose(arrays["time"], np.arange(STEPS) * control_dt, atol=1e-9)
    np.testing.assert_allclose(arrays["qpos"], episode.recording.qpos, rtol=1e-6, atol=1e-7)
    # The targets that led to a state are the action before it: 5 N.
    np.testing.assert_array_equal(arrays["ctrl"][1:], 5.0 * arrays["action"][:-1])
    assert set(np.unique(arrays["action"])) == {-1.0, 1.0}
    factor = log.model.body_mass[1] / env.scene.model.body_mass[1]
    assert 1.0 < factor < 1.5
    assert log.model.opt.gravity[2] == pytest.approx(-9.81 * factor, rel=1e-5)
    assert {"metric_left", "metric_distance"} <= arrays.keys()


def test_without_the_backends_own_state_it_is_nearly_the_same(tmp_path):
    env = cart(coarse=True)
    watch, _ = failed(env, 1)
    log = read_own(saved(tmp_path, env, next(iter(watch.found.values()))))
    assert log.about["exact"] is False
    apart = replay(log)
    assert 0.0 < apart.max() < 1e-3
    assert "the same motion within" in described(log)[-1]


def test_another_simulation_is_told_apart(varied, tmp_path):
    env, watch, _ = varied
    log = read_own(saved(tmp_path, env, next(iter(watch.found.values()))))
    log.model.opt.gravity[:] = (3.0, 0.0, -9.81)
    assert "more than 1 mm or mrad apart after" in described(log)[-1]


def test_the_files_are_named_after_the_kinds(varied, tmp_path, monkeypatch, capsys):
    env, watch, _ = varied
    monkeypatch.setattr(
        "r2s_core.rendering.failures.film_episodes",
        lambda path, env, recordings: path.write_bytes(b"a video") and None,
    )
    two = {name: watch.found["left"] for name in ("Off, the track", "off the track")}
    written = keep_failures(tmp_path / "failures", env, two, {})
    assert written == {
        "Off, the track": ["off_the_track.npz", "off_the_track.mp4"],
        "off the track": ["off_the_track_2.npz", "off_the_track_2.mp4"],
    }
    found = {path.name for path in (tmp_path / "failures").iterdir()}
    assert found == {name for names in written.values() for name in names}
    monkeypatch.undo()
    written = keep_failures(tmp_path / "plain", env, {"left": watch.found["left"]}, {})
    assert written == {"left": ["left.npz"]}  # the cart has nothing to draw
    assert "no scene to draw" in capsys.readouterr().err
    assert command.main(_arguments(tmp_path / "plain" / "left.npz")) == 0
    assert "failure: left" in capsys.readouterr().out


def test_a_file_from_elsewhere_is_read_when_it_is_trusted(varied, tmp_path):
    """A made-up model can crash MuJoCo's loader."""
    env, watch, _ = varied
    path = saved(tmp_path, env, watch.found["left"])
    elsewhere = path.read_bytes() + b"changed"  # a zip file may have something behind it
    path.write_bytes(elsewhere)
    with pytest.raises(R2SError, match=r"was not written here.* --trust"):
        command.main(_arguments(path))
    assert command.main(_arguments(path, "--trust")) == 0
    assert command.main(_arguments(path)) == 0  # it is remembered
    path.write_bytes(elsewhere + b"!")
    with pytest.raises(R2SError, match="was not written here"):
        read_episode(path)


def _arguments(path: Any, *more: str) -> Any:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return parser.parse_args([str(path), *more])


def test_what_is_no_episode_is_refused_in_a_sentence(varied, tmp_path):
    env, watch, _ = varied
    path = saved(tmp_path, env, watch.found["left"])
    good = dict(np.load(path))

    def refused(why: str, **changes: Any) -> None:
        arrays = {name: x for name, x in {**good, **changes}.items() if x is not None}
        file = io.BytesIO()
        np.savez(file, **arrays)
        path.write_bytes(file.getvalue())
        with pytest.raises(R2SError, match=why):
            read_own(path)

    def about(**changes: Any) -> np.ndarray:
        return np.array(json.dumps({**json.loads(str(good["about"])), **changes}))

    refused("no episode of", about=None)
    refused("no episode of", about=np.array("{"))
    refused("no episode of", about=np.array("3"))
    refused("no episode of", state=np.array([{}], object))
    refused("its format is 'x'", about=about(format="x"))
    refused("was written with MuJoCo 1.0", about=about(mujoco="1.0"))
    refused("its substeps are 'many'", about=about(substeps="many"))
    refused("its substeps are 0", about=about(substeps=0))
    refused("holds no model", model=None)
    refused("MuJoCo refuses its model", model=good["model"][:100])
    refused("'state' does not fit", state=good["state"][:, 1:])
    refused("'state' does not fit", state=good["state"][:0])
    refused("'qvel' does not fit", qvel=good["qvel"][1:])
    refused("'ctrl' does not fit", ctrl=None)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(R2SError, match="is damaged"):
        read_own(path)
    with pytest.raises(R2SError, match="none"):
        read_episode(tmp_path / "none.npz")
