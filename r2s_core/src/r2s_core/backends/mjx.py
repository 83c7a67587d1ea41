"""The `mjx` and `warp` backends: MuJoCo MJX, traced and compiled by JAX.

`Physics.carry` is a batched `mjx.Data`. After the substeps one more forward pass makes positions,
velocities and their sensors current; contact sensors keep what the last substep solved, as on
the `mujoco` backend.
"""

from __future__ import annotations

import importlib
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco import mjx

from r2s_core.backends.plugins import MjxConfig, WarpConfig
from r2s_core.errors import BackendError
from r2s_core.types import Array, Named, Physics, SceneSpec, View

#: Model fields that may differ per world. Others either change the model's constants, which
#: MJX does not recompute, or its structure.
BATCHABLE = frozenset(
    {
        "geom_friction",
        "geom_solref",
        "geom_solimp",
        "dof_damping",
        "dof_frictionloss",
        "actuator_gainprm",
        "actuator_biasprm",
        "actuator_forcerange",
    }
)


class MjxBackend:
    """See `r2s_core.types.Backend`."""

    traceable = True
    batchable = BATCHABLE

    def __init__(self, name: str, scene: SceneSpec, num_worlds: int, make_data: Any) -> None:
        self.name, self.num_worlds = name, num_worlds
        self._impl = "warp" if name == "warp" else "jax"
        self._model = _put_model(scene.model, self._impl)
        self._make_data = make_data
        self._fields = scene.view_fields
        needs = np.repeat(scene.model.sensor_needstage, scene.model.sensor_dim)
        self._solved = needs == int(mujoco.mjtStage.mjSTAGE_ACC)  # sensors of the last substep

    def init(self, fields: Named, qpos: Array, qvel: Array) -> Physics:
        def one(fields: Named, qpos: Array, qvel: Array) -> tuple[Any, View]:
            data = self._make_data().replace(qpos=qpos, qvel=qvel)
            data = mjx.forward(self._with(fields), data)
            return data, self._view(data)

        data, view = jax.vmap(one)(fields, jnp.asarray(qpos), jnp.asarray(qvel))
        return Physics(data, fields, view, jnp.ones(self.num_worlds, bool))

    def step(self, physics: Physics, ctrl: Array, substeps: int) -> Physics:
        def one(data: Any, fields: Named, ctrl: Array) -> tuple[Any, View, Array]:
            model = self._with(fields)
            data = data.replace(ctrl=ctrl)
            data = jax.lax.fori_loop(0, substeps, lambda _, d: mjx.step(model, d), data)
            solved = data.sensordata
            data = mjx.forward(model, data)
            data = data.replace(sensordata=jnp.where(self._solved, solved, data.sensordata))
            ok = jnp.isfinite(data.qpos).all() & jnp.isfinite(data.qvel).all()
            return data, self._view(data), ok

        data, view, ok = jax.vmap(one)(physics.carry, physics.fields, jnp.asarray(ctrl))
        return Physics(data, physics.fields, view, ok)

    def reset(
        self, physics: Physics, mask: Array, fields: Named, qpos: Array, qvel: Array
    ) -> Physics:
        def replace(physics: Physics) -> Physics:
            fresh = self.init(fields, qpos, qvel)

            def choose(chosen: Array, new: Any, old: Any) -> Any:
                return jax.tree.map(lambda n, o: jnp.where(chosen, n, o), new, old)

            carry, merged, view = jax.vmap(choose)(
                mask,
                (fresh.carry, fresh.fields, fresh.view),
                (physics.carry, physics.fields, physics.view),
            )
            return Physics(carry, merged, view, physics.ok | mask)

        return jax.lax.cond(jnp.any(mask), replace, lambda same: same, physics)

    def _with(self, fields: Named) -> Any:
        return self._model.tree_replace(dict(fields)) if fields else self._model

    def _view(self, data: Any) -> View:
        values = {
            name: jnp.asarray(getattr(data, name), jnp.float32)
            for name in View.__dataclass_fields__
            if name in self._fields
        }
        return View.of(values)


def _put_model(model: mujoco.MjModel, impl: str) -> Any:
    try:
        return mjx.put_model(model, impl=impl)
    except (NotImplementedError, ValueError, ImportError, RuntimeError, AttributeError) as error:
        raise BackendError(
            f"the scene does not run on MJX ({impl}): {str(error).splitlines()[0]}; use "
            "backend: mujoco"
        ) from error


def make(scene: SceneSpec, num_worlds: int, config: MjxConfig) -> MjxBackend:
    """MJX in pure JAX."""
    return MjxBackend("mjx", scene, num_worlds, lambda: mjx.make_data(scene.model, impl="jax"))


def make_warp(scene: SceneSpec, num_worlds: int, config: WarpConfig) -> MjxBackend:
    """MJX on MuJoCo Warp.

    Raises:
      BackendError: warp-lang is missing, or there is no NVIDIA GPU.
    """
    try:
        importlib.import_module("warp")
    except ImportError as error:
        raise BackendError(
            "the backend warp needs NVIDIA Warp: pip install 'mujoco-mjx[warp]', or use "
            "backend: mujoco"
        ) from error
    if jax.default_backend() != "gpu":
        raise BackendError("the backend warp needs an NVIDIA GPU; use backend: mujoco")

    def make_data() -> Any:
        return mjx.make_data(
            scene.model,
            impl="warp",
            naconmax=config.contacts_per_world * num_worlds,
            njmax=config.constraints_per_world,
        )

    return MjxBackend("warp", scene, num_worlds, make_data)
