"""Keeps the first episode of each kind of failure, whole, so that it can be filmed and replayed."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import operator
from collections import deque
from collections.abc import Mapping
from typing import Any

import jax
import mujoco
import numpy as np

from r2s_core.evaluation.episodes import Episodes, Recording, failures
from r2s_core.types import Array, Environment, HasIntegrationState, HasScene, SceneSpec, Step

FORMAT = "r2s-episode/1"
#: Columns of MjData that the file has by name, each [T, ...].
MOTION = ("time", "qpos", "qvel", "ctrl", "mocap_pos", "mocap_quat")
STATE = mujoco.mjtState.mjSTATE_INTEGRATION
_WATCHED = 512  # worlds; in the quickstart a control step of one takes 1.5 kB


@dataclasses.dataclass(frozen=True)
class FailedEpisode:
    """An episode as it failed.

    recording: for pictures. state: float64[T, n], MuJoCo's state (`mjSTATE_INTEGRATION`) at the
    start of every control step; None where the task's view has no velocities or controls.
    exact: it is all that the backend knows, in double precision; else it is made of the view's
    positions, velocities and controls, in single precision. action: float32[T, A], what the policy
    commanded then. fields: the model's that were the world's own, by name.
    """

    kind: str
    recording: Recording
    state: np.ndarray | None
    exact: bool
    action: np.ndarray
    fields: Mapping[str, np.ndarray]


class FailureWatch:
    """See `episodes.Watch`. It watches the first `_WATCHED` worlds, in all their episodes."""

    def __init__(self, env: Environment[Any]) -> None:
        self.found: dict[str, FailedEpisode] = {}
        self._env, self._worlds = env, min(env.spec.num_worlds, _WATCHED)
        self._rows: deque[Any] = deque(maxlen=env.spec.max_episode_steps)
        self._fields: Mapping[str, Array] = {}
        self._variant: Array | None = None

    def before(self, state: Any) -> None:
        physics: Any = getattr(state, "physics", None)
        if getattr(getattr(physics, "view", None), "qpos", None) is None:
            return  # it is no engine's environment
        self._fields, self._variant = physics.fields, getattr(state, "variant", None)
        self._rows.append([self._first((self._motion(physics), physics.view.qpos, state.task))])

    def after(self, step: Step, action: Array, ended: Episodes) -> None:
        """ended: the episodes that the step ended, those that count."""
        if not self._rows:
            return
        self._rows[-1] += [self._first((action, dict(step.metrics), step.success))]
        kinds, number = failures(ended, self._env.spec.task)
        assert ended.world is not None
        for episode in np.flatnonzero(number >= 0):
            kind, world = kinds[number[episode]], int(ended.world[episode])
            if world < self._worlds and kind not in self.found:
                self.found[kind] = self._cut(kind, world, int(ended.episode_length[episode]))

    def _cut(self, kind: str, world: int, length: int) -> FailedEpisode:
        rows = list(self._rows)[-length:]
        motion, qpos, task = self._stacked([before for before, _ in rows], world)
        action, metrics, succeeded = self._stacked([after for _, after in rows], world)
        variant = 0 if self._variant is None else int(np.asarray(self._variant)[world])
        recording = Recording(qpos, task, False, variant, metrics, succeeded, kind)
        fields = {name: np.asarray(values)[world] for name, values in self._fields.items()}
        exact = "state" in motion
        state = motion["state"] if exact else self._composed(motion)
        return FailedEpisode(kind, recording, state, exact, action, fields)

    def _stacked(self, rows: list[Any], world: int) -> Any:
        return jax.tree.map(lambda *x: np.stack([row[world] for row in x]), *rows)

    def _first(self, tree: Any) -> Any:
        """The rows of the watched worlds, copied, since a backend may write over its own."""
        return jax.tree.map(lambda x: np.array(np.asarray(x)[: self._worlds]), tree)

    def _motion(self, physics: Any) -> dict[str, Any]:
        """[W, ...]: the integration state, or what the view has of it."""
        backend, view = getattr(self._env, "backend", None), physics.view
        if isinstance(backend, HasIntegrationState):
            return {"state": backend.integration_state(physics)}
        parts = {name: getattr(view, name) for name in ("qpos", "qvel", "ctrl")}
        return {} if any(part is None for part in parts.values()) else parts

    def _composed(self, motion: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """The integration state float64[T, n] of what a view has, [T, ...]; None: of nothing."""
        if not motion or not isinstance(self._env, HasScene):
            return None
        model = self._env.scene.model
        data, states = mujoco.MjData(model), []
        for time in range(len(motion["qpos"])):
            data.time = time * self._env.spec.control_dt
            for name, rows in motion.items():
                setattr(data, name, rows[time])
            states.append(np.empty(mujoco.mj_stateSize(model, STATE)))
            mujoco.mj_getState(model, data, states[-1], STATE)
        return np.stack(states)


def world_model(scene: SceneSpec, variant: int, fields: Mapping[str, np.ndarray]) -> mujoco.MjModel:
    """The model of one world: its variant's, with the fields that were its own."""
    model = copy.copy(scene.of_variant(variant).model)
    for name, values in fields.items():
        target = operator.attrgetter(name)(model)
        target[...] = np.asarray(values).reshape(target.shape)
    if not {"body_ipos", "body_iquat"}.isdisjoint(fields):
        model.body_sameframe[:] = 0  # MuJoCo would assume that the inertial frames are the bodies'
    if fields:
        mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


def packed(episode: FailedEpisode, env: Environment[Any], about: Mapping[str, Any]) -> bytes:
    """The episode as an NPZ file, without pickles: see `replay.read_episode`.

    about: more facts for the file's "about", plain values.
    """
    assert isinstance(env, HasScene)
    assert episode.state is not None
    recording, spec = episode.recording, env.spec
    scene: SceneSpec = env.scene
    model = world_model(scene, recording.variant, episode.fields)
    binary = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, binary)
    data, motion = mujoco.MjData(model), {name: list[np.ndarray]() for name in MOTION}
    for state in episode.state:
        mujoco.mj_setState(model, data, state, STATE)
        for name, column in motion.items():
            column.append(np.array(getattr(data, name)))
    names = scene.variants.names if scene.variants else ()
    facts = {
        "format": FORMAT,
        "failure": episode.kind,
        "object": names[recording.variant] if scene.variants else ", ".join(spec.task.objects),
        "mujoco": mujoco.__version__,
        "control_dt_s": scene.control_dt,
        "substeps": scene.substeps,
        "exact": episode.exact,
        "action_names": list(spec.action_names),
        **about,
    }
    columns = {name: np.stack(column) for name, column in motion.items()}
    columns |= {"state": episode.state, "action": episode.action}
    for body, field in spec.task.markers.items():
        columns[f"marker_{body}"] = np.asarray(getattr(recording.task, field))
    columns |= {f"metric_{name}": np.asarray(x) for name, x in recording.metrics.items()}
    file, arrays = io.BytesIO(), {"about": np.array(json.dumps(facts)), "model": binary, **columns}
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()
