"""The `mjx` and `warp` backends: MuJoCo MJX, traced and compiled by JAX.

`Physics.carry` is a batched `mjx.Data`. After the substeps, positions, velocities and their sensors
are made current; contact sensors keep the last substep's values, as on the `mujoco` backend.

MuJoCo Warp holds contacts and constraints in fixed-size buffers, and drops what does not fit. Here
that is never silent: a world that lost contacts or constraints is not `ok`, and `check` raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco import mjx

from r2s_core.backends.constants import INPUTS, derived_constants
from r2s_core.backends.nvidia_warp import require_warp
from r2s_core.backends.plugins import MjxConfig, WarpConfig
from r2s_core.errors import BackendError
from r2s_core.types import WRENCH, Array, Named, Physics, SceneSpec, View

#: What may differ per world. Most other fields would change constants that are not recomputed here,
#: or the model's structure.
BATCHABLE = frozenset(
    {
        WRENCH,
        *INPUTS,
        "opt.gravity",
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


#: MuJoCo Warp's overflow bits that mean lost contacts (its `OverflowType`), and what to raise.
_BUFFERS = {
    1 << 0: "constraints_per_world",  # NEFC
    1 << 1: "constraints_per_world",  # NJMAX_NNZ
    1 << 2: "contacts_per_world",  # BROADPHASE
    1 << 3: "contacts_per_world",  # NARROWPHASE
    1 << 4: "contacts_per_world",  # CCD
    1 << 6: "contacts_per_world",  # CONTACT_MATCH
}
_LOST = sum(_BUFFERS)
#: Capacity as a multiple of the scene's worst case of contacts and constraint rows, and the
#: capacity for a scene without one. Twice is ample for contacts, whose buffer all worlds share:
#: most have few at a time. Rows are per world and must suffice for its worst moment in a billion
#: steps, and an exploring policy presses the object in ways that the measured worst case does not:
#: within 200,000 steps one world needed more than twice the rows. A row costs some dozen floats.
_HEADROOM, _UNPROBED = (2, 6), (24, 256)


class MjxBackend:
    """See `r2s_core.types.Backend`."""

    traceable = True
    batchable = BATCHABLE
    variant = None

    def __init__(
        self,
        name: str,
        scene: SceneSpec,
        num_worlds: int,
        make_data: Callable[[], Any],
        capacity: Mapping[str, int] | None = None,
    ) -> None:
        self.name, self.num_worlds = name, num_worlds
        self._impl = "warp" if name == "warp" else "jax"
        self._model = _put_model(scene.model, self._impl)
        self._make_data = make_data
        self._constants = derived_constants(scene.model)
        self._fields, self._substeps = scene.view_fields, scene.substeps
        self._fresh = jax.jit(self._init)  # jitted, so that `init` and `reset` trace it once
        needs = np.repeat(scene.model.sensor_needstage, scene.model.sensor_dim)
        self._solved = needs == int(mujoco.mjtStage.mjSTAGE_ACC)  # sensors of the last substep
        self.capacity = dict(capacity or {})
        self._overflowed = 0  # bits of `_BUFFERS`, of all steps so far

    def init(self, fields: Named, qpos: Array, qvel: Array) -> Physics:
        return self._fresh(fields, jnp.asarray(qpos), jnp.asarray(qvel))

    def _init(self, fields: Named, qpos: Array, qvel: Array) -> Physics:
        def one(fields: Named, qpos: Array, qvel: Array) -> tuple[Any, View]:
            data = self._make_data().replace(qpos=qpos, qvel=qvel)
            data = mjx.forward(self._with(fields), data)
            return data, self._view(data)

        if fields:
            fields = {**fields, **jax.vmap(self._constants)(fields)}
        data, view = jax.vmap(one)(fields, qpos, qvel)
        return Physics(data, fields, view, jnp.ones(self.num_worlds, bool))

    def step(self, physics: Physics, ctrl: Array, wrench: Array | None = None) -> Physics:
        def one(data: Any, fields: Named, pushed: Named) -> tuple[Any, View, Array]:
            model = self._with(fields)
            data = data.replace(**pushed)
            data = jax.lax.fori_loop(0, self._substeps, lambda _, d: mjx.step(model, d), data)
            data = self._make_current(model, data)
            return data, self._view(data), _is_stable(data)

        pushed = {"ctrl": jnp.asarray(ctrl)}
        if wrench is not None:
            pushed[WRENCH] = jnp.asarray(wrench)
        data, view, ok = jax.vmap(one)(physics.carry, physics.fields, pushed)
        return Physics(data, physics.fields, view, ok & self._fitted(data))

    def reset(
        self, physics: Physics, mask: Array, fields: Named, qpos: Array, qvel: Array
    ) -> Physics:
        def one(chosen: Array, new: Any, old: Any) -> Any:
            # Not every leaf of Warp's `Data` has a row per world; its own `where` knows which.
            carry = old[0].where(chosen, new[0])
            return carry, jax.tree.map(lambda n, o: jnp.where(chosen, n, o), new[1:], old[1:])

        def replace(physics: Physics) -> Physics:
            fresh = self.init(fields, qpos, qvel)
            carry, (merged, view) = jax.vmap(one)(
                mask,
                (fresh.carry, fresh.fields, fresh.view),
                (physics.carry, physics.fields, physics.view),
            )
            return Physics(carry, merged, view, physics.ok | mask)

        return jax.lax.cond(jnp.any(mask), replace, lambda same: same, physics)

    def check(self) -> None:
        """See `r2s_core.types.Checked`."""
        if self._impl != "warp":
            return
        jax.effects_barrier()  # wait for callbacks of the last steps
        full = sorted({option for bit, option in _BUFFERS.items() if self._overflowed & bit})
        if full:
            more = " ".join(f"backend.{option}={2 * self.capacity[option]}" for option in full)
            raise BackendError(
                "MuJoCo Warp ran out of room for contacts and dropped some, so objects would pass "
                f"through each other; raise {more}"
            )

    def _make_current(self, model: Any, data: Any) -> Any:
        """Positions, velocities and their sensors after the last substep."""
        if self._solved.all():
            return mjx.kinematics(model, data)
        solved = data.sensordata
        data = mjx.forward(model, data) if self._impl == "warp" else _positions(model, data)
        return data.replace(sensordata=jnp.where(self._solved, solved, data.sensordata))

    def _fitted(self, data: Any) -> Array:
        """bool[W]: nothing was dropped for lack of room; overflows are recorded for `check`."""
        if self._impl != "warp":
            return jnp.ones(self.num_worlds, bool)
        seen = data._impl.overflow & _LOST
        bits = jax.lax.reduce(seen, jnp.int32(0), jax.lax.bitwise_or, (0,))
        jax.lax.cond(bits != 0, lambda: jax.debug.callback(self._note_overflow, bits), lambda: None)
        return seen == 0

    def _note_overflow(self, bits: Any) -> None:
        self._overflowed |= int(bits)

    def _with(self, fields: Named) -> Any:
        return self._model.tree_replace(dict(fields)) if fields else self._model

    def _view(self, data: Any) -> View:
        values = {
            name: jnp.asarray(getattr(data, name), jnp.float32)
            for name in View.__dataclass_fields__
            if name in self._fields
        }
        return View.of(values)


def _positions(model: Any, data: Any) -> Any:
    """Positions, velocities and their sensors: `mjx.forward` without contacts, forces and the
    solver, which the next step computes anyway."""
    for stage in (mjx.kinematics, mjx.com_pos, mjx.camlight, mjx.tendon, mjx.transmission):
        data = stage(model, data)
    data = mjx.fwd_velocity(model, mjx.sensor_pos(model, data))
    return mjx.sensor_vel(model, data)


def _is_stable(data: Any) -> Array:
    """bool[]: C MuJoCo would not warn of an unstable simulation in this world: each number is
    finite and within its limit."""
    numbers = (data.ctrl, data.qpos, data.qvel, data.qacc)
    return jnp.stack([(jnp.abs(x) <= mujoco.mjMAXVAL).all() for x in numbers]).all()


def _put_model(model: mujoco.MjModel, impl: str) -> Any:
    try:
        device_model = mjx.put_model(model, impl=impl)
    except (NotImplementedError, ValueError, ImportError, RuntimeError, AttributeError) as error:
        raise BackendError(
            f"the scene does not run on MJX ({impl}): {str(error).splitlines()[0]}; use "
            "backend: mujoco"
        ) from error
    if impl == "warp":  # otherwise it prints a line per world and step; `check` reports instead
        silent = device_model.opt._impl.replace(warn_overflow=0)
        device_model = device_model.replace(opt=device_model.opt.replace(_impl=silent))
    return device_model


def make(scene: SceneSpec, num_worlds: int, config: MjxConfig) -> MjxBackend:
    """MJX in pure JAX."""
    return MjxBackend("mjx", scene, num_worlds, lambda: mjx.make_data(scene.model, impl="jax"))


def make_warp(scene: SceneSpec, num_worlds: int, config: WarpConfig) -> MjxBackend:
    """MJX on MuJoCo Warp.

    Raises:
      BackendError: warp-lang is missing, or there is no device that it runs on.
    """
    require_warp("backend warp", without="backend: mujoco", elsewhere="backend: mjx")
    capacity = _capacity(scene, config)

    def make_data() -> Any:
        return mjx.make_data(
            scene.model,
            impl="warp",
            naconmax=capacity["contacts_per_world"] * num_worlds,
            njmax=capacity["constraints_per_world"],
        )

    return MjxBackend("warp", scene, num_worlds, make_data, capacity)


def _capacity(scene: SceneSpec, config: WarpConfig) -> dict[str, int]:
    """The configured capacities for contacts and constraints, else those of the worst case."""
    names = ("contacts_per_world", "constraints_per_world")
    configured = [getattr(config, name) for name in names]
    needed = _UNPROBED
    if None in configured and scene.worst_case is not None:
        needed = tuple(k * n for k, n in zip(_HEADROOM, scene.worst_case(), strict=True))
    return {n: a if a is not None else b for n, a, b in zip(names, configured, needed, strict=True)}
