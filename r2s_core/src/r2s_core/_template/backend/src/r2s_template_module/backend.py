"""The backend: steps W worlds of one model. This one calls C MuJoCo for each world in turn."""

from __future__ import annotations

import copy
from typing import Any

import mujoco
import numpy as np
from r2s_core.backends.silence import silenced
from r2s_core.types import Array, Named, Physics, SceneSpec, View

from r2s_template_module.plugin import TemplateNameConfig

_STATE = mujoco.mjtState.mjSTATE_INTEGRATION
#: MuJoCo resets a world in which one of these happens: it has diverged.
_DIVERGED = (
    mujoco.mjtWarning.mjWARN_BADCTRL,
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
)


def make(scene: SceneSpec, num_worlds: int, config: TemplateNameConfig) -> OneByOne:
    """Build the backend."""
    return OneByOne(scene, num_worlds, config)


class OneByOne:
    """See `r2s_core.types.Backend`.

    A `Physics` is a value: `step` returns a new one, and the old one can be stepped again. So the
    whole state of the worlds is in `Physics.carry`, float64[W, size of the state], and the one
    MjData here is scratch.
    """

    name = "template_name"
    traceable = False  # True where init, step and reset may be called inside jax.jit
    batchable: frozenset[str] = frozenset()  # the model fields that may differ between worlds
    variant = None  # int32[W] where each world is fixed to one variant of the scene

    def __init__(self, scene: SceneSpec, num_worlds: int, config: TemplateNameConfig) -> None:
        self.num_worlds = num_worlds
        self.model, self._substeps = copy.copy(scene.model), scene.substeps
        if config.iterations is not None:
            self.model.opt.iterations = config.iterations
        self._data = mujoco.MjData(self.model)
        self._fields = sorted(scene.view_fields)

    def init(self, fields: Named, qpos: Array, qvel: Array) -> Physics:
        """Worlds in their start states: qpos [W, nq], qvel [W, nv]."""
        starts = zip(np.asarray(qpos), np.asarray(qvel), strict=True)
        return self._physics([self._start(*start) for start in starts])

    def step(self, physics: Physics, ctrl: Array, wrench: Array | None = None) -> Physics:
        """Advance every world by one control step under ctrl [W, nu]."""
        controls = zip(physics.carry, np.asarray(ctrl), strict=True)
        return self._physics([self._step(*control) for control in controls])

    def reset(
        self, physics: Physics, mask: Array, fields: Named, qpos: Array, qvel: Array
    ) -> Physics:
        """Put the worlds under `mask`, bool[W], into new start states; the others do not change."""
        worlds = []
        for world, fresh in enumerate(np.asarray(mask)):
            if fresh:
                worlds.append(self._start(np.asarray(qpos)[world], np.asarray(qvel)[world]))
            else:
                view = {name: np.asarray(getattr(physics.view, name))[world] for name in self._fields}
                worlds.append((physics.carry[world], view, bool(np.asarray(physics.ok)[world])))
        return self._physics(worlds)

    def _start(self, qpos: np.ndarray, qvel: np.ndarray) -> tuple[Any, ...]:
        mujoco.mj_resetData(self.model, self._data)
        self._data.qpos, self._data.qvel = qpos, qvel
        with silenced():  # MuJoCo's warnings are reported in `ok`
            mujoco.mj_forward(self.model, self._data)
        return self._read()

    def _step(self, state: np.ndarray, ctrl: np.ndarray) -> tuple[Any, ...]:
        mujoco.mj_resetData(self.model, self._data)
        mujoco.mj_setState(self.model, self._data, state, _STATE)
        self._data.ctrl = ctrl
        with silenced():
            mujoco.mj_step(self.model, self._data, self._substeps)
            # Quantities derived from the state are one substep behind now. Forces are not
            # recomputed: they belong to the interval that led to this state.
            mujoco.mj_fwdPosition(self.model, self._data)
            mujoco.mj_sensorPos(self.model, self._data)
            mujoco.mj_fwdVelocity(self.model, self._data)
            mujoco.mj_sensorVel(self.model, self._data)
        return self._read()

    def _read(self) -> tuple[Any, ...]:
        """The state of the world in `_data`, its view, and whether it is ok."""
        state = np.empty(mujoco.mj_stateSize(self.model, _STATE))
        mujoco.mj_getState(self.model, self._data, state, _STATE)
        view = {name: self._field(name) for name in self._fields}
        return state, view, not any(self._data.warning[w].number for w in _DIVERGED)

    def _field(self, name: str) -> np.ndarray:
        value = np.asarray(getattr(self._data, name), np.float32)
        return value.reshape(-1, 3, 3) if name == "site_xmat" else value.copy()

    def _physics(self, worlds: list[tuple[Any, ...]]) -> Physics:
        states, views, ok = zip(*worlds, strict=True)
        view: Any = {name: np.stack([view[name] for view in views]) for name in self._fields}
        flags: Any = np.array(ok)
        return Physics(carry=np.stack(states), fields={}, view=View.of(view), ok=flags)
