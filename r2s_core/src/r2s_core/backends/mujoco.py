"""The `mujoco` backend: W worlds stepped by `mujoco.batch.Batch` on CPU threads.

Host-driven: arrays are NumPy, and nothing here may be traced. `Physics.carry` is the float64
integration state of every world, so a `Physics` is a value: an old one can be stepped again,
saved and restored, with bit-identical results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mujoco
import numpy as np
from mujoco.batch import MODEL_FIELDS, Batch, SimulationError

from r2s_core.backends.plugins import MujocoConfig
from r2s_core.backends.silence import silenced
from r2s_core.errors import BackendError
from r2s_core.types import WRENCH, Array, Named, Physics, SceneSpec, View

_VELOCITY = int(mujoco.mjtStage.mjSTAGE_VEL)
_ACCELERATION = int(mujoco.mjtStage.mjSTAGE_ACC)
#: The quantity that was not finite or beyond 1e10, by MuJoCo's warning.
_BAD = {
    int(mujoco.mjtWarning.mjWARN_BADCTRL): "control",
    int(mujoco.mjtWarning.mjWARN_BADQPOS): "position",
    int(mujoco.mjtWarning.mjWARN_BADQVEL): "velocity",
    int(mujoco.mjtWarning.mjWARN_BADQACC): "acceleration",
}
#: The warnings that mean a diverged simulation.
DIVERGED = list(_BAD)
_OVERFLOWED = [
    int(w) for w in (mujoco.mjtWarning.mjWARN_CONTACTFULL, mujoco.mjtWarning.mjWARN_CNSTRFULL)
]
_NO_FIELDS: Mapping[str, Array] = {}


class MujocoBackend:
    """See `r2s_core.types.Backend`. One instance owns one Batch; use it from one thread."""

    name = "mujoco"
    traceable = False
    batchable = frozenset(MODEL_FIELDS) | {WRENCH}
    variant = None

    def __init__(self, scene: SceneSpec, num_worlds: int, config: MujocoConfig) -> None:
        self.num_worlds = num_worlds
        self.model, self._substeps = scene.model, scene.substeps
        self._batch = Batch(scene.model, num_worlds, config.threads, persistent=True)
        self._readers = _view_readers(self._batch, scene.view_fields)
        self._setconst_inputs = frozenset(mujoco.MjModel._setconst_inputs)
        self._warnings = self._batch.warning[:, :, 1].copy()
        self._latest: np.ndarray | None = None  # the carry that the batch currently holds
        self._bad: tuple[int, int] | None = None  # the latest divergence: warning, index

    @property
    def trouble(self) -> str | None:
        """What diverged last, and where in the model; None: nothing did."""
        if self._bad is None:
            return None
        kind, index = _BAD[self._bad[0]], self._bad[1]
        return f"the {kind} of {_place(self.model, kind, index)} was not finite, or beyond 1e10"

    def init(self, fields: Named, qpos: Array, qvel: Array) -> Physics:
        everyone: Any = np.ones(self.num_worlds, bool)
        copies: Any = {k: np.array(v) for k, v in fields.items()}
        empty = Physics(
            carry=self._batch.state.copy(),
            fields=copies,
            view=self._view(),
            ok=everyone,
        )
        self._latest = empty.carry
        self._check_frames(copies)
        self._write_fields(empty.fields, None)
        return self.reset(empty, everyone, fields, qpos, qvel)

    def step(self, physics: Physics, ctrl: Array, wrench: Array | None = None) -> Physics:
        self._load(physics)
        self._batch.ctrl[:] = np.asarray(ctrl)
        if wrench is not None:
            self._batch.xfrc_applied[:] = np.asarray(wrench)
        failed = self._run(lambda: self._batch.step(nstep=self._substeps, stage=_VELOCITY))
        return self._physics(physics.fields, ~(failed | self._new_warnings()))

    def reset(
        self, physics: Physics, mask: Array, fields: Named, qpos: Array, qvel: Array
    ) -> Physics:
        ids = np.flatnonzero(np.asarray(mask)).astype(np.int32)
        if not len(ids):
            return physics
        self._load(physics)
        merged: Any = _NO_FIELDS
        if physics.fields:
            merged = {k: np.array(v) for k, v in physics.fields.items()}
            for name, values in fields.items():
                merged[name][ids] = np.asarray(values)[ids]
            self._write_fields(merged, ids)
        self._batch.reset(ids, stage=0)
        self._warnings[ids] = self._batch.warning[ids, :, 1]  # a reset clears them
        self._batch.qpos[ids] = np.asarray(qpos)[ids]
        self._batch.qvel[ids] = np.asarray(qvel)[ids]
        # Through the acceleration stage: contact sensors of the old episode must not survive.
        failed = self._run(lambda: self._batch.forward(ids, stage=_ACCELERATION))
        if failed.any():
            raise BackendError(
                f"MuJoCo refuses the start state of world {int(np.flatnonzero(failed)[0])}: "
                f"{self._batch.error(int(np.flatnonzero(failed)[0]))}; fix the task's init"
            )
        ok = np.asarray(physics.ok).copy()
        ok[ids] = ~self._new_warnings()[ids]
        return self._physics(merged, ok)

    def integration_state(self, physics: Physics) -> np.ndarray:
        """See `r2s_core.types.HasIntegrationState`."""
        return physics.carry

    def _run(self, call: Callable[[], None]) -> np.ndarray:
        failed = np.zeros(self.num_worlds, bool)
        try:
            with silenced():
                call()
        except SimulationError as error:
            failed[error.ids] = True
        return failed

    def _new_warnings(self) -> np.ndarray:
        """bool[W]: the worlds in which the engine newly warned of a divergence."""
        counts = self._batch.warning[:, :, 1]
        new = counts > self._warnings
        if not new.any():
            return np.zeros(self.num_worlds, bool)
        self._warnings = counts.copy()
        if new[:, _OVERFLOWED].any():
            raise BackendError(
                "MuJoCo ran out of memory for contacts or constraints in "
                f"{int(new[:, _OVERFLOWED].any(axis=1).sum())} worlds; raise the scene's "
                f"`memory` (it is {self.model.narena / 2**20:.1f} MiB) or simplify the object"
            )
        diverged = new[:, DIVERGED].any(axis=1)
        if diverged.any():
            world = int(diverged.argmax())
            kind = DIVERGED[int(new[world, DIVERGED].argmax())]
            self._bad = kind, int(self._batch.warning[world, kind, 0])
        return diverged

    def _load(self, physics: Physics) -> None:
        """Load `physics` into the batch (free when it is there already)."""
        if physics.carry is self._latest:
            return
        self._write_fields(physics.fields, None)
        self._batch.state[:] = physics.carry
        self._run(lambda: self._batch.forward(stage=_VELOCITY))
        self._new_warnings()
        self._latest = physics.carry

    def _write_fields(self, fields: Named, ids: np.ndarray | None) -> None:
        # Only these rows, so that derived constants are recomputed for them alone.
        rows = slice(None) if ids is None else ids
        for name, values in fields.items():
            self._batch.expand(name)[rows] = np.asarray(values)[rows]
        if not self._setconst_inputs.isdisjoint(fields):
            with silenced():
                self._batch.set_const(ids)

    def _check_frames(self, fields: Named) -> None:
        """Raises `BackendError` where the varied inertial frame of a body is one that MuJoCo, for
        speed, assumes to be fixed: it would ignore the variation."""
        for name in ("body_ipos", "body_iquat"):
            if name not in fields:
                continue
            moved = np.asarray(fields[name]) != np.asarray(getattr(self.model, name), np.float32)
            simple = self.model.body_simple > 0
            simple[0] = False  # the world
            bodies = np.flatnonzero(moved.any(axis=(0, 2)) & simple)
            if len(bodies):
                body = self.model.body(int(bodies[0])).name
                raise BackendError(
                    f"{name} of the body {body} is varied, but its inertial frame coincides with "
                    "the body's, which MuJoCo compiles in; give it an `inertial` that differs"
                )
            if "body_sameframe" not in fields:
                self._batch.expand("body_sameframe")[:] = 0

    def _physics(self, fields: Named, ok: Any) -> Physics:
        self._latest = self._batch.state.copy()
        return Physics(carry=self._latest, fields=fields, view=self._view(), ok=ok)

    def _view(self) -> View:
        return View.of({name: read() for name, read in self._readers.items()})


def _place(model: mujoco.MjModel, kind: str, index: int) -> str:
    """The joint or actuator of an index into qpos, qvel or ctrl."""
    if kind == "control":
        return f"the actuator {model.actuator(index).name or index}"
    first = model.jnt_qposadr if kind == "position" else model.jnt_dofadr
    joint = int(np.searchsorted(first, index, side="right")) - 1
    body = model.body(int(model.jnt_bodyid[joint])).name
    return f"the joint {model.joint(joint).name or joint} of the body {body}"


def _view_readers(batch: Batch, names: frozenset[str]) -> dict[str, Callable[[], np.ndarray]]:
    """For each View field, a function that copies it from the batch as float32."""

    def reader(name: str) -> Callable[[], np.ndarray]:
        array = batch.bind(name)
        if name == "site_xmat":
            return lambda: array.reshape(*array.shape[:2], 3, 3).astype(np.float32)
        return lambda: array.astype(np.float32)

    return {name: reader(name) for name in names}


def make(scene: SceneSpec, num_worlds: int, config: MujocoConfig) -> MujocoBackend:
    """The builder that the manifest names."""
    return MujocoBackend(scene, num_worlds, config)
