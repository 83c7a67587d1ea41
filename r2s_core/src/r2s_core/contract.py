"""Tasks and rewards held to their contract before anything is built of them or compiled.

Each function is traced once on the shapes of one world, which takes milliseconds. So what would
otherwise end in JAX's own words, deep in the engine, is told here: whose function it is, at which
line, what came back and what was there to read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.env_spec import empty_view
from r2s_core.foreign import ForeignError, calling, defined_at
from r2s_core.types import (
    Array,
    HasBegin,
    HasDifficulty,
    HasReadings,
    RewardFn,
    SceneSpec,
    Task,
    Transition,
    View,
)


def check_task(whose: str, task: Task[Any], scene: SceneSpec) -> Transition:
    """Trace every function of a task; what a reward would be given, as shapes.

    whose: the task as the user knows it: "environment 'lift'".

    Raises `ForeignError` where one fails or returns something else than `types.Task` says.
    """
    traced = _Traced(whose, task)
    view = empty_view(scene)
    with calling(whose, task):
        low, high = (np.asarray(x, np.float32) for x in (task.action_low, task.action_high))
    if low.ndim != 1 or low.shape != high.shape or not np.all(low < high):
        raise ForeignError(
            f"{whose}: action_low and action_high are {low.tolist()} and {high.tolist()}; they "
            "must be vectors of one length, each low below its high"
        )
    state = check_start(whose, task, task.init, scene)
    if isinstance(task, HasBegin):
        begun = traced(task.begin, state, view)
        same = _layout(begun) == _layout(state)
        traced.require(task.begin, same, begun, "a state like the one that it was given")
    if isinstance(task, HasDifficulty):
        traced(task.at_level, jnp.float32(1.0))
    action: Any = jax.ShapeDtypeStruct(low.shape, jnp.float32)
    ctrl = traced(task.control, state, view, action)
    traced.require(task.control, _is(ctrl, (scene.model.nu,)), ctrl, f"ctrl[{scene.model.nu}]")
    after = traced(task.update, state, view)
    same = _layout(after) == _layout(state)
    traced.require(task.update, same, after, "a state like the one that it was given")
    for name in ("terminated", "success"):
        flag = traced(function := getattr(task, name), after, view)
        traced.require(function, _is(flag, (), "b"), flag, "bool[]")
    metrics = traced(task.metrics, after, view)
    numbers = isinstance(metrics, Mapping) and all(_is(x, (), "fiub") for x in metrics.values())
    traced.require(task.metrics, numbers, metrics, "a mapping of names to float32[]")
    _check_observation(traced, task, task.observe, after, view)
    if isinstance(task, HasReadings):
        readings = traced(task.readings, after, view)
        traced.require(task.readings, isinstance(readings, Mapping), readings, "a mapping")
        traced(lambda *args: task.observe(*task.perceived(*args)), after, view, readings)
    flag: Any = jax.ShapeDtypeStruct((), jnp.bool_)
    return Transition(view, state, action, view, after, flag, flag)


def check_start(whose: str, task: Task[Any], init: Callable[..., Any], scene: SceneSpec) -> Any:
    """Trace `Task.init` or `init_from_bank`; the task's state, as shapes.

    Raises as `check_task`.
    """
    traced = _Traced(whose, task)
    variant = () if scene.variants is None else (jnp.int32(0),)
    start = traced(init, jax.random.key(0), *variant)
    nq, nv = scene.model.nq, scene.model.nv
    whole = (
        isinstance(start, tuple)
        and len(start) == 3
        and _is(start[1], (nq,))
        and _is(start[2], (nv,))
    )
    traced.require(init, whole, start, f"(task state, qpos[{nq}], qvel[{nv}])")
    return start[0]


def check_rewards(rewards: Mapping[str, RewardFn], transition: Transition) -> None:
    """Trace reward terms, by name, on the shapes that `check_task` returned.

    Raises `ForeignError` where one fails or is no single number; it tells what `transition` has.
    """
    there = f"transition.view has {_fields(transition.view)}; .task has {_fields(transition.task)}"
    for name, term in rewards.items():
        traced = _Traced(f"reward '{name}'", term, there)
        value = traced(term, transition)
        traced.require(term, _is(value, (), "fiub"), value, "one number, float32[]")


@dataclasses.dataclass(frozen=True)
class _Traced:
    """Calls functions of one owner on shapes."""

    whose: str
    code: Any
    advice: str = ""

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What it returns, whatever that is, with tracers for arrays."""
        returned = []

        def call(*arguments: Any) -> tuple[()]:
            returned.append(function(*arguments))
            return ()

        with calling(self.whose, self.code, advice=self.advice):
            jax.eval_shape(call, *arguments)
        return _as_shapes(returned[0])

    def require(self, function: Any, condition: bool, value: Any, due: str) -> None:
        """Raises `ForeignError` with what came back in place of what is `due`."""
        if not condition:
            name = getattr(function, "__name__", "it")
            place = defined_at(function)
            raise ForeignError(
                f"{self.whose}: {name}{f' ({place})' if place else ''} returned {_what(value)}, "
                f"but must return {due}" + (f"; {self.advice}" if self.advice else "")
            )


def _check_observation(
    traced: _Traced, task: Task[Any], observe: Callable[..., Any], state: Any, view: View
) -> None:
    groups = traced(observe, state, view)
    vectors = isinstance(groups, Mapping) and all(
        _is(group, (int(np.prod(np.shape(group))),)) for group in groups.values()
    )
    traced.require(observe, vectors, groups, "a mapping of groups to float32[n]")
    traced.require(observe, "policy" in groups, groups, "a group 'policy' among its groups")


def _as_shapes(tree: Any) -> Any:
    """Tracers do not outlive their trace; their shapes do."""

    def shape(leaf: Any) -> Any:
        if isinstance(leaf, Array | np.ndarray | np.generic):
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
        return leaf

    return jax.tree.map(shape, tree)


def _is(value: Any, shape: tuple[int, ...], kinds: str = "f") -> bool:
    """Whether a value has this shape and a dtype of these kinds; Python's numbers have shape ()."""
    if isinstance(value, bool | int | float):
        return shape == () and type(value).__name__[0] in kinds
    return isinstance(value, jax.ShapeDtypeStruct) and (
        value.shape == shape and _kind(value.dtype) in kinds
    )


def _kind(dtype: Any) -> str:
    return "f" if jnp.issubdtype(dtype, jnp.floating) else np.dtype(dtype).kind


def _layout(tree: Any) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    return structure, [getattr(leaf, "shape", ()) for leaf in leaves]


def _what(value: Any) -> str:
    """A value as a user would describe it: "float32[7]", "nothing", "a dict of a, b"."""
    if value is None:
        return "nothing"
    if isinstance(value, jax.ShapeDtypeStruct):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_what(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_what, value)) + ")"
    return "text" if isinstance(value, str) else f"a {type(value).__name__}"


def _fields(value: Any) -> str:
    """The fields of a dataclass that hold something, with their shapes."""
    if not dataclasses.is_dataclass(value):
        return _what(value)
    found = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    there = [f"{n}{list(np.shape(x))}" for n, x in found.items() if hasattr(x, "shape")]
    return ", ".join(there) or "no fields"
