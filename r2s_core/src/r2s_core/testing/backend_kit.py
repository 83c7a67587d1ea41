"""The conformance of physics backends: MuJoCo's own C engine is the reference."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core.system.foreign import describe
from r2s_core.testing.requirements import require, require_array, require_equal
from r2s_core.testing.tasks import CartTask
from r2s_core.types import WRENCH, Backend, Named, Physics, SceneSpec, View

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
    _check_attributes(backend, scene.model)
    qpos, qvel = _starts(scene)
    worlds = _Worlds(backend, _nominal(backend, scene.model), pushes=WRENCH in backend.batchable)
    start = worlds.init(qpos, qvel)
    _check_against_mujoco(scene, worlds, start, qpos, qvel, tolerance)
    _check_values(worlds, start)
    _check_nothing_varied(make, worlds, start, qpos, qvel)
    _check_reset(worlds, start, qpos, qvel)
    _check_divergence(worlds, start, qpos, qvel)
    if worlds.nominal:
        _check_fields(scene, worlds, qpos)
    if worlds.pushes:
        _check_wrench(scene, worlds, qpos)


def _check_attributes(backend: Backend, model: mujoco.MjModel) -> None:
    """What a backend says of itself."""
    require(backend.num_worlds == _WORLDS, f"num_worlds is {backend.num_worlds}, not {_WORLDS}")
    name, batchable, variant = backend.name, backend.batchable, backend.variant
    require(isinstance(name, str) and name, f"name is {name!r}, not the plugin's name")
    found = type(batchable).__name__
    require(isinstance(batchable, frozenset), f"batchable is a {found}, not a frozenset")
    for field in sorted(batchable - {WRENCH}):
        known: Any = model
        for part in field.split("."):  # "opt.gravity"
            known = getattr(known, part, None)
        require(known is not None, f"batchable names {field!r}, which no MjModel has")
    if variant is not None:
        values = np.asarray(variant)
        require(
            values.shape == (_WORLDS,) and np.issubdtype(values.dtype, np.integer),
            f"variant is {values.dtype}{list(values.shape)}; it must be None or int32[{_WORLDS}], "
            "the variant of each world",
        )


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


def _nominal(backend: Backend, model: mujoco.MjModel) -> Named:
    """body_mass of every world where it may vary, so that the kit compiles each function once."""
    if "body_mass" not in backend.batchable:
        return {}
    return {"body_mass": jnp.tile(jnp.asarray(model.body_mass, jnp.float32), (_WORLDS, 1))}


class _Worlds:
    """A backend as the engine uses it: compiled where it can be traced.

    nominal: the fields of worlds that are all alike. pushes: whether steps have a wrench.
    """

    def __init__(self, backend: Backend, nominal: Named, pushes: bool) -> None:
        self.backend, self.nominal, self.pushes = backend, nominal, pushes
        functions = {name: getattr(backend, name) for name in ("init", "step", "reset")}
        if backend.traceable:
            functions = {name: jax.jit(function) for name, function in functions.items()}
        self._functions = functions

    def init(self, qpos: Any, qvel: Any, fields: Named | None = None) -> Physics:
        return self._call("init", self.nominal if fields is None else fields, qpos, qvel)

    def reset(
        self, physics: Physics, mask: Any, qpos: Any, qvel: Any, fields: Named | None = None
    ) -> Physics:
        fields = self.nominal if fields is None else fields
        return self._call("reset", physics, jnp.asarray(mask), fields, qpos, qvel)

    def step(self, physics: Physics, ctrl: np.ndarray = _CTRL, wrench: Any = None) -> Physics:
        """One control step, by default with each world pushed a little harder than the last."""
        if not self.pushes:
            return self._call("step", physics, jnp.asarray(ctrl))
        if wrench is None:
            wrench = np.zeros((*physics.view.xpos.shape[:2], 6), np.float32)
        return self._call("step", physics, jnp.asarray(ctrl), jnp.asarray(wrench))

    def _call(self, name: str, *arguments: Any) -> Physics:
        try:
            made = self._functions[name](*arguments)
        except TypeError as error:  # as all of JAX's errors of tracing are
            if not self.backend.traceable:
                raise
            raise AssertionError(
                f"traceable is True, but `{name}` cannot be traced: {describe(error)}"
            ) from error
        if not isinstance(made, Physics):
            what = "nothing" if made is None else type(made).__name__
            raise AssertionError(f"`{name}` returned {what}, not a Physics")
        require_array(made.ok, (_WORLDS,), "bool", f"the ok that `{name}` returned")
        return made


def _check_nothing_varied(
    make: MakeBackend, worlds: _Worlds, start: Physics, qpos: Any, qvel: Any
) -> None:
    """It does the same without fields and wrenches, and sets only declared fields of the view."""
    scene = dataclasses.replace(_scene(), view_fields=frozenset({"qpos", "xpos"}))
    plain = _Worlds(make(scene, _WORLDS), {}, pushes=False)
    mask = np.arange(_WORLDS) % 2 == 0
    begun, moved = plain.init(qpos, qvel), worlds.step(start)
    stepped = plain.step(begun)
    pairs = {
        "init": (begun, start),
        "step": (stepped, moved),
        "reset": (
            plain.reset(stepped, mask, qpos, qvel),
            worlds.reset(moved, mask, qpos, qvel),
        ),
    }
    for function, (physics, expected) in pairs.items():
        for name in View.__dataclass_fields__:
            declared = name in scene.view_fields
            require(
                (getattr(physics.view, name) is not None) == declared,
                f"view.{name} of `{function}` is "
                f"{'None though' if declared else 'not None though not'} declared",
            )
            if declared:
                require_equal(
                    np.asarray(getattr(physics.view, name)),
                    np.asarray(getattr(expected.view, name)),
                    f"view.{name} of `{function}` without fields and wrenches",
                    atol=1e-4,
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
        if name == "site_xmat":
            expected = expected.reshape(_WORLDS, -1, 3, 3)
        require_array(value, expected.shape, "float32", f"view.{name}")
        error = np.abs(value - expected).max(initial=0.0)
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
    reset = worlds.reset(moved, mask, qpos, qvel)
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
    healed = worlds.reset(broken, wild, qpos, qvel)
    require(np.asarray(worlds.step(healed).ok).all(), "ok stays False after a reset")


def _check_fields(scene: SceneSpec, worlds: _Worlds, qpos: Any) -> None:
    """A model field differs per world, and so do the dynamics that depend on it: a = F / m."""
    cart = _cart(scene.model)
    first, second = (np.array(worlds.nominal["body_mass"]) for _ in range(2))
    first[:, cart] *= 1.0 + np.arange(_WORLDS)
    second[:, cart] *= 8.0 / (1.0 + np.arange(_WORLDS))
    still, mask = jnp.zeros((_WORLDS, scene.model.nv)), np.arange(_WORLDS) % 2 == 0
    physics = worlds.init(qpos, still, {"body_mass": jnp.asarray(first)})
    for _ in range(_STEPS):
        physics = worlds.step(physics)
    speeds = _speeds(qpos, first, _STEPS)
    _compare_speeds(physics, speeds, "where body_mass differs per world")
    physics = worlds.reset(physics, mask, qpos, still, {"body_mass": jnp.asarray(second)})
    for _ in range(_STEPS):
        physics = worlds.step(physics)
    speeds = np.where(
        mask[:, None], _speeds(qpos, second, _STEPS), _speeds(qpos, first, 2 * _STEPS)
    )
    _compare_speeds(physics, speeds, "after a reset to another body_mass, under the mask", mask)
    _compare_speeds(physics, speeds, "after a reset to another body_mass, outside the mask", ~mask)


def _check_wrench(scene: SceneSpec, worlds: _Worlds, qpos: Any) -> None:
    """A wrench acts on its body for the whole control step."""
    wrench = np.zeros((_WORLDS, scene.model.nbody, 6), np.float32)
    wrench[:, _cart(scene.model), 0] = np.arange(_WORLDS)  # N
    wrench[:, scene.model.body("pole").id, 4] = 1e-3 * np.arange(_WORLDS)  # N m
    physics = worlds.init(qpos, jnp.zeros((_WORLDS, scene.model.nv)))
    for _ in range(_STEPS):
        physics = worlds.step(physics, wrench=wrench)
    mass = np.tile(scene.model.body_mass, (_WORLDS, 1))
    speeds = _speeds(qpos, mass, _STEPS, wrench)
    _compare_speeds(physics, speeds, "under a wrench (batchable has xfrc_applied)")


def _cart(model: mujoco.MjModel) -> int:
    return int(model.body("cart").id)


def _speeds(qpos: Any, mass: np.ndarray, steps: int, wrench: Any = None) -> np.ndarray:
    """float32[W, 2] of cart and pole by C MuJoCo, after control steps from rest."""
    speeds = []
    for world in range(_WORLDS):
        model = _scene().model
        model.body_mass[:] = mass[world]
        mujoco.mj_setConst(model, mujoco.MjData(model))
        data = mujoco.MjData(model)
        data.qpos, data.ctrl = np.asarray(qpos[world]), _CTRL[world]
        if wrench is not None:
            data.xfrc_applied = wrench[world]
        mujoco.mj_step(model, data, 2 * steps)
        speeds.append(data.qvel[:2])
    return np.asarray(speeds, np.float32)


def _compare_speeds(
    physics: Physics, expected: np.ndarray, what: str, mask: np.ndarray | slice = slice(None)
) -> None:
    require_equal(
        np.asarray(physics.view.qvel)[mask, :2],
        expected[mask],
        f"the speeds of cart and pole {what}, against C MuJoCo's",
        atol=1e-3,
    )
