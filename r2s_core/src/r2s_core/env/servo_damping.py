"""Keeps the servo damping in joints' armature consistent while randomizers vary either.

See `SceneSpec.implicit_damping`. A randomizer sees the rotors' own inertia as the armature; the
damping that it returns then determines how much is added.
"""

from __future__ import annotations

from collections.abc import Collection

import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core.types import Array, Named, SceneSpec

_ARMATURE = "dof_armature"
#: Fields by which randomizers change the damping; `actuator_biasprm` has -kv in its third column.
_DAMPING, _BIAS = "dof_damping", "actuator_biasprm"


class ServoDamping:
    """For one world's model fields. Inactive where none of these fields is varied."""

    def __init__(self, scene: SceneSpec, varied: Collection[str]) -> None:
        """varied: the model fields that randomizers change."""
        model = scene.model
        held = scene.implicit_damping is not None and (
            model.opt.integrator == mujoco.mjtIntegrator.mjINT_EULER
        )
        self.active = held and not {_ARMATURE, _DAMPING, _BIAS}.isdisjoint(varied)
        if not self.active:
            return
        damping = np.asarray(scene.implicit_damping, np.float64)
        self._timestep = float(model.opt.timestep)
        self._nominal = jnp.asarray(damping, jnp.float32)
        self._joint = jnp.asarray(model.dof_damping, jnp.float32)
        self._bias = jnp.asarray(model.actuator_biasprm[:, 2], jnp.float32)
        # [nv, nu]: squared transmission ratio, servo velocity per velocity of its joint.
        gears = np.zeros((model.nv, model.nu))
        for servo in np.flatnonzero(model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT):
            dof = model.jnt_dofadr[model.actuator_trnid[servo, 0]]
            gears[dof, servo] = model.actuator_gear[servo, 0] ** 2
        is_held = damping > 0
        self._gears = jnp.asarray(gears * is_held[:, None], jnp.float32)
        self._is_held = jnp.asarray(is_held, jnp.float32)

    @property
    def fields(self) -> tuple[str, ...]:
        """The model fields that change along with what is varied."""
        return (_ARMATURE,) if self.active else ()

    def taken_out(self, fields: Named) -> dict[str, Array]:
        """Nominal fields, with only the rotors' own inertia in the armature."""
        if not self.active:
            return dict(fields)
        return {**fields, _ARMATURE: fields[_ARMATURE] - self._timestep * self._nominal}

    def put_back(self, fields: Named) -> dict[str, Array]:
        """Varied fields, with their damping added to the armature again."""
        if not self.active:
            return dict(fields)
        damping = self._nominal
        if _DAMPING in fields:
            damping += self._is_held * (fields[_DAMPING] - self._joint)
        if _BIAS in fields:
            damping += self._gears @ (self._bias - fields[_BIAS][:, 2])
        return {**fields, _ARMATURE: fields[_ARMATURE] + self._timestep * damping}
