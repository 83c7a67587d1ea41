"""The conformance of physics backends: MuJoCo's own C engine is the reference."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core.testing.requirements import require, require_array, require_equal
from r2s_core.testing.tasks import CartTask
from r2s_core.types import Backend, Physics, SceneSpec, View

_WORLDS, _STEPS = 4, 10

#: The kit's motor gives 1e9 N per unit, for `_check_divergence`; these are 1, 2, ... N.
_CTRL = 1e-9 * (1.0 + np.arange(_WORLDS, dtype=np.float32)[:, None])

MakeBackend = Callable[[SceneSpec, int], Backend]


def check_backend(make: MakeBackend, tolerance: float = 1e-3) -> None:
    """A backend steps worlds as MuJoCo does, independently, and treats `Physics` as a value.

    Args:
        make: builds it: (scene, number of worlds) -> backend.
        tolerance: largest difference between a view and C MuJoCo's after 0.2 s, in SI units.

    Raises:
        AssertionError: with a sentence that says what the backend does wrong.
    """
    scene = _scene()
    backend = make(scene, _WORLDS)
    require(backend.num_worlds == _WORLDS, f"num_worlds is {backend.num_worlds}, not {_WORLDS}")
    qpos, qvel = _starts(scene)
    worlds = _Worlds(backend)
    start = worlds.init({}, qpos, qvel)
    _check_declared_view(make, qpos, qvel)
    _check_against_mujoco(scene, worlds, start, qpos, qvel, tolerance)
    _check_values(worlds, start)
    _check_reset(worlds, start, qpos, qvel)
    _check_divergence(worlds, start, qpos, qvel)
    if "body_mass" in backend.batchable:
        _check_fields(scene, worlds, qpos, qvel)


def _scene() -> SceneSpec:
    """The kit's cart, with a motor strong enough to blow it up within MuJoCo's limits on ctrl."""
    scene = CartTask().scene()
    scene.model.actuator_ctrllimited[:] = 0
    scene.model.actuator_gear[:, 0] = 1e9
    return scene


def _starts(scene: SceneSpec) -> tuple[Any, Any]:
    """Start states of W worlds: carts apart, one pole swinging, the boxes just above the floor."""
    keys = jax.random.split(jax.random.key(0), _WORLDS)
    _, qpos, qvel = jax.vmap(CartTask().init)(keys, jnp.zeros(_WORLDS, jnp.int32))
    return jnp.asarray(qpos), jnp.asarray(qvel)


class _Worlds:
    """A backend as the engine uses it: compiled where it can be traced."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.init, self.reset, self._step = backend.init, backend.reset, backend.step
        if backend.traceable:
            self.init, self.reset = jax.jit(backend.init), jax.jit(backend.reset)
            self._step = jax.jit(backend.step)

    def step(self, physics: Physics, ctrl: np.ndarray = _CTRL) -> Physics:
        """One control step, by default with each world pushed a little harder than the last."""
        return self._step(physics, jnp.asarray(ctrl))


def _check_declared_view(make: MakeBackend, qpos: Any, qvel: Any) -> None:
    """Only the declared fields are set; the others are None."""
    scene = dataclasses.replace(_scene(), view_fields=frozenset({"qpos", "xpos"}))
    view = _Worlds(make(scene, _WORLDS)).init({}, qpos, qvel).view
    for name in View.__dataclass_fields__:
        declared = name in scene.view_fields
        require(
            (getattr(view, name) is not None) == declared,
            f"view.{name} is {'None though' if declared else 'not None though not'} declared",
        )


def _check_against_mujoco(
    scene: SceneSpec, worlds: _Worlds, physics: Physics, qpos: Any, qvel: Any, tolerance: float
) -> None:
    """The view is current at the start, and follows C MuJoCo from there."""
    model = scene.model
    data = [mujoco.MjData(model) for _ in range(_WORLDS)]
    for world, one in enumerate(data):
        one.qpos, one.qvel = np.asarray(qpos[world]), np.asarray(qvel[world])
        mujoco.mj_forward(model, one)
    _compare_views(physics.view, data, 1e-4, "after init")
    for _ in range(_STEPS):
        physics = worlds.step(physics)
        for world, one in enumerate(data):
            one.ctrl = _CTRL[world]
            mujoco.mj_step(model, one, 2)
    for one in data:
        mujoco.mj_forward(model, one)
    _compare_views(physics.view, data, tolerance, f"after {_STEPS} control steps")
    require(np.asarray(physics.ok).all(), "ok is False in a world where nothing went wrong")


def _compare_views(view: View, data: list[Any], tolerance: float, when: str) -> None:
    for name in View.__dataclass_fields__:
        value = np.asarray(getattr(view, name))
        expected = np.stack([np.asarray(getattr(one, name)) for one in data])
        require_array(value, expected.reshape(value.shape).shape, "float32", f"view.{name}")
        error = np.abs(value - expected.reshape(value.shape)).max(initial=0.0)
        require(
            error <= tolerance,
            f"view.{name} {when} differs from C MuJoCo's by {error:.2g}, more than {tolerance:.2g}"
            " (is it one substep behind?)",
        )


def _check_values(worlds: _Worlds, start: Physics) -> None:
    """A `Physics` stays usable after it was stepped, and stepping it again gives the same."""
    first = worlds.step(start)
    kept = jax.tree.map(np.array, first.view)
    second = worlds.step(first)
    require_equal(kept, jax.tree.map(np.asarray, first.view), "a view after a later step")
    require_equal(
        jax.tree.map(np.asarray, second.view),
        jax.tree.map(np.asarray, worlds.step(worlds.step(start)).view),
        "two steps taken again from an earlier state",
    )


def _check_reset(worlds: _Worlds, start: Physics, qpos: Any, qvel: Any) -> None:
    """Only the worlds under the mask are touched, and those are as after init."""
    moved = worlds.step(worlds.step(start))
    mask = np.arange(_WORLDS) % 2 == 0
    reset = worlds.reset(moved, jnp.asarray(mask), {}, qpos, qvel)
    both = [("right after the reset", reset, moved, start)]
    both.append(("a step after it", worlds.step(reset), worlds.step(moved), worlds.step(start)))
    for when, found, untouched, fresh in both:
        for name in View.__dataclass_fields__:
            if name == "ctrl":  # the targets in force are those of the last step, or none yet
                continue
            values = [np.asarray(getattr(x.view, name)) for x in (found, untouched, fresh)]
            require_equal(
                values[0][~mask],
                values[1][~mask],
                f"view.{name} of a world outside the mask, {when}",
                atol=1e-6,
            )
            if name != "time":
                require_equal(
                    values[0][mask],
                    values[2][mask],
                    f"view.{name} of a world under the mask against init, {when}",
                    atol=1e-4,
                )


def _check_divergence(worlds: _Worlds, start: Physics, qpos: Any, qvel: Any) -> None:
    """A world that diverges reports it, affects no other world, and works after a reset."""
    wild = np.arange(_WORLDS) == 1
    broken = worlds.step(start, np.where(wild[:, None], np.float32(1e6), _CTRL))
    require_equal(np.asarray(broken.ok), ~wild, "ok where one world is pushed with 1e15 N")
    healed = worlds.reset(broken, jnp.asarray(wild), {}, qpos, qvel)
    require(np.asarray(worlds.step(healed).ok).all(), "ok stays False after a reset")


def _check_fields(scene: SceneSpec, worlds: _Worlds, qpos: Any, qvel: Any) -> None:
    """A model field differs per world, and so do the dynamics that depend on it: a = F / m."""
    mass = np.tile(np.asarray(scene.model.body_mass, np.float32), (_WORLDS, 1))
    cart = mujoco.mj_name2id(scene.model, mujoco.mjtObj.mjOBJ_BODY, "cart")
    mass[:, cart] *= 1.0 + np.arange(_WORLDS)
    physics = worlds.init({"body_mass": jnp.asarray(mass)}, qpos, jnp.zeros_like(qvel))
    for _ in range(_STEPS):
        physics = worlds.step(physics)
    speeds = []
    for world in range(_WORLDS):
        model = _scene().model
        model.body_mass[:] = mass[world]
        mujoco.mj_setConst(model, mujoco.MjData(model))
        data = mujoco.MjData(model)
        data.qpos, data.ctrl = np.asarray(qpos[world]), _CTRL[world]
        mujoco.mj_step(model, data, 2 * _STEPS)
        speeds.append(data.qvel[0])
    require_equal(
        np.asarray(physics.view.qvel)[:, 0],
        np.asarray(speeds, np.float32),
        "the speeds of carts whose body_mass differs per world, against C MuJoCo's",
        atol=1e-3,
    )
