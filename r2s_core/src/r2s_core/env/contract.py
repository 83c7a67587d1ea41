"""Checks of third-party tasks, rewards and algorithms against their contracts.

Each function of a task is traced once on the shapes of one world, before anything is built or
compiled. What would otherwise be a JAX error deep in the engine is reported here: the function, its
line, what it returned and what it could have read. An algorithm's results are checked at each call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.env.felt import PROPRIOCEPTION
from r2s_core.env.info_check import check_info, check_markers
from r2s_core.env.spec import empty_view
from r2s_core.policy import graph
from r2s_core.suggest import did_you_mean
from r2s_core.system.foreign import ForeignError, calling, defined_at
from r2s_core.types import (
    Algorithm,
    Array,
    Environment,
    EnvSpec,
    HasBegin,
    HasDifficulty,
    HasExpert,
    HasProprioception,
    HasReadings,
    Named,
    PolicyExport,
    RewardFn,
    SceneSpec,
    Step,
    Task,
    Transition,
    View,
)


def check_task(owner: str, task: Task[Any], scene: SceneSpec) -> Transition:
    """Trace every function of a task; returns the `Transition` of a reward, as shapes.

    owner: the task for messages: "environment 'lift'".

    Raises `ForeignError` where one fails or returns something other than `types.Task` says.
    """
    traced = _Traced(owner, task, declared=scene.view_fields)
    view = empty_view(scene)
    with calling(owner, task):
        low, high = (np.asarray(x, np.float32) for x in (task.action_low, task.action_high))
    if low.ndim != 1 or low.shape != high.shape or not np.all(low < high):
        raise ForeignError(
            f"{owner}: action_low and action_high are {low.tolist()} and {high.tolist()}; they "
            "must be vectors of one length, each low below its high"
        )
    state = check_start(owner, task, task.init, scene)
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
    groups = _check_observation(traced, task, task.observe, after, view)
    shapes = {name: np.shape(group) for name, group in groups.items()}
    if isinstance(task, HasProprioception):
        own = traced(task.proprioception, after, view)
        vector = _is(own, np.shape(own)) and len(np.shape(own)) == 1
        traced.require(task.proprioception, vector, own, "float32[n]")
        shapes[PROPRIOCEPTION] = np.shape(own)
    elif PROPRIOCEPTION in task.info.observation_names and PROPRIOCEPTION not in groups:
        raise ForeignError(
            f"{owner}: info.observation_names names '{PROPRIOCEPTION}', but the task has no method "
            "of that name"
        )
    check_info(owner, task.info, metrics, shapes, len(low), ForeignError)
    check_markers(owner, task.info, after, scene, ForeignError)
    if isinstance(task, HasReadings):
        readings = traced(task.readings, after, view)
        traced.require(task.readings, isinstance(readings, Mapping), readings, "a mapping")
        traced(lambda *args: task.observe(*task.perceived(*args)), after, view, readings)
    if isinstance(task, HasExpert):
        advice = traced(task.expert, after, view)
        traced.require(task.expert, _is(advice, low.shape), advice, f"an action, [{len(low)}]")
    flag: Any = jax.ShapeDtypeStruct((), jnp.bool_)
    return Transition(view, state, action, view, after, flag, flag)


def check_start(owner: str, task: Task[Any], init: Callable[..., Any], scene: SceneSpec) -> Any:
    """Trace `Task.init` or `init_from_bank`; returns the task's state, as shapes.

    Raises as `check_task`.
    """
    traced = _Traced(owner, task)
    start = traced(init, jax.random.key(0), jnp.int32(0))
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

    Raises `ForeignError`, listing what `transition` has, where one fails or is no single number.
    """
    fields = f"transition.view has {_fields(transition.view)}; .task has {_fields(transition.task)}"
    declared = [name for name, value in vars(transition.view).items() if value is not None]
    for name, term in rewards.items():
        traced = _Traced(f"reward '{name}'", term, fields, declared=declared)
        value = traced(term, transition)
        traced.require(term, _is(value, (), "fiub"), value, "one number, float32[]")


def check_complete(owner: str, env: Environment[Any]) -> None:
    """Reset and step a plugin's complete environment, traced where it can be.

    Raises `ForeignError` where that fails, or the results do not fit `env.spec`.
    """
    with calling(owner, env):
        spec = env.spec
    if not isinstance(spec, EnvSpec):
        raise ForeignError(f"{owner}: spec is {_what(spec)}, not an EnvSpec")
    worlds = (spec.num_worlds,)

    def start_and_step(key: Array, action: Array) -> tuple[Any, Any]:
        state, obs = env.reset(key)
        return obs, env.step(state, action)

    traced = _Traced(owner, env, trace=spec.traceable)
    action = jnp.zeros((*worlds, spec.action_size)) + jnp.asarray(spec.action_low)
    obs, result = traced(start_and_step, jax.random.key(0), action)
    groups = spec.observations
    expected = {name: f"{group.dtype}{[*worlds, *group.shape]}" for name, group in groups.items()}
    fits = isinstance(obs, Mapping) and set(obs) == set(expected)
    fits = fits and all(
        _is(obs[name], (*worlds, *group.shape), np.dtype(group.dtype).kind)
        for name, group in groups.items()
    )
    traced.require(env.reset, fits, obs, f"the observations {expected}")
    step = result[1] if isinstance(result, tuple) and len(result) == 2 else None
    traced.require(env.step, isinstance(step, Step), result, "(state, Step)")
    assert isinstance(step, Step)
    for name, kinds in {"reward": "f", "terminated": "b", "truncated": "b", "success": "b"}.items():
        value = getattr(step, name)
        what = f"Step.{name} of {worlds[0]} worlds"
        traced.require(env.step, _is(value, worlds, kinds), value, what)
    check_info(
        owner,
        spec.task,
        step.metrics,
        {name: group.shape for name, group in spec.observations.items()},
        spec.action_size,
        ForeignError,
    )


@dataclasses.dataclass(frozen=True)
class _Traced:
    """Calls one owner's functions on shapes."""

    owner: str
    code: Any
    advice: str = ""
    trace: bool = True
    declared: Collection[str] | None = None  # fields of the view that the functions read

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function returns, whatever that is, with shapes in place of arrays."""
        returned = []

        def call(*arguments: Any) -> tuple[()]:
            returned.append(function(*arguments))
            return ()

        with calling(self.owner, self.code, advice=self._remedy):
            if self.trace:
                jax.eval_shape(call, *arguments)
            else:
                call(*arguments)
        return _as_shapes(returned[0])

    def _remedy(self, error: BaseException) -> str:
        """Advice on an exception; the list of available fields only where one may be missing."""
        if isinstance(error, NameError):
            wanted = {
                "jnp": "import jax.numpy as jnp",
                "jax": "import jax",
                "np": "import numpy as np",
            }
            line = wanted.get(error.name or "")
            return f"write `{line}` at the top of the file" if line else ""
        if isinstance(error, ArithmeticError):
            return ""
        none = isinstance(error, TypeError | AttributeError) and "NoneType" in str(error)
        if none and self.declared is not None:
            return (
                "a field of the view is None unless SceneSpec.view_fields declares it, which has "
                f"{', '.join(sorted(self.declared)) or 'none'}; add the field that is read there"
            )
        if isinstance(error, AttributeError) and dataclasses.is_dataclass(error.obj):
            fields = [field.name for field in dataclasses.fields(error.obj)]
            meant = did_you_mean(error.name or "", fields).removeprefix("; ")
            return f"{meant} {self.advice}".strip()
        return self.advice

    def require(self, function: Any, condition: bool, value: Any, expected: str) -> None:
        """Raises `ForeignError`, with what was returned and what was `expected`."""
        if not condition:
            name = getattr(function, "__name__", "it")
            place = defined_at(function)
            raise ForeignError(
                f"{self.owner}: {name}{f' ({place})' if place else ''} returned {_what(value)}, "
                f"but must return {expected}" + (f"; {self.advice}" if self.advice else "")
            )


def _check_observation(
    traced: _Traced, task: Task[Any], observe: Callable[..., Any], state: Any, view: View
) -> Named:
    groups = traced(observe, state, view)
    sound = isinstance(groups, Mapping) and all(_is_group(group) for group in groups.values())
    expected = (
        "a mapping of groups to float32[n], uint8[height, width, channels] or, for depth in mm, "
        "uint16[height, width, 1]"
    )
    if isinstance(groups, Mapping):
        grey = [n for n, x in groups.items() if len(np.shape(x)) == 2 and _is(x, np.shape(x), "u")]
        if grey:
            expected += f"; a grey image is uint8[height, width, 1]: {grey[0]}[..., None]"
    traced.require(observe, sound, groups, expected)
    read = "policy" in groups or any(len(np.shape(group)) == 3 for group in groups.values())
    traced.require(observe, read, groups, "a group 'policy' among its groups")
    return groups


def _is_group(group: Any) -> bool:
    """A vector of numbers, an image of bytes, or one of depths."""
    shape = np.shape(group)
    if _is(group, shape, "f"):
        return len(shape) == 1
    depth = shape[-1:] == (1,)
    return len(shape) == 3 and str(group.dtype) in (("uint8", "uint16") if depth else ("uint8",))


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
    """A value as messages describe it: "float32[7]", "nothing", "{a: float}"."""
    if value is None:
        return "nothing"
    if isinstance(value, jax.ShapeDtypeStruct):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_what(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_what, value)) + ")"
    return "text" if isinstance(value, str) else type(value).__name__


def _fields(value: Any) -> str:
    """The fields of a dataclass that hold something, with their shapes."""
    if not dataclasses.is_dataclass(value):
        return _what(value)
    found = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    shapes = [f"{n}{list(np.shape(x))}" for n, x in found.items() if hasattr(x, "shape")]
    return ", ".join(shapes) or "no fields"


def initial(owner: str, algorithm: Algorithm[Any], key: Array) -> Any:
    """`Algorithm.init`; raises `ForeignError` where it fails or gives no pytree of arrays."""
    with calling(owner, algorithm):
        learner = algorithm.init(key)
    for path, leaf in jax.tree_util.tree_flatten_with_path(learner)[0]:
        if not isinstance(leaf, jax.Array | np.ndarray | np.generic):
            place = f" at {keystr}" if (keystr := jax.tree_util.keystr(path)) else ""
            raise ForeignError(
                f"{owner}: init returned {_what(leaf)}{place}; it must be arrays only"
            )
    return learner


def updated(owner: str, algorithm: Algorithm[Any], learner: Any) -> tuple[Any, dict[str, Any]]:
    """`Algorithm.update`, its metrics on the host; raises `ForeignError` where it breaks."""
    with calling(owner, algorithm):
        result = algorithm.update(learner)
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping)):
            raise ForeignError(
                f"{owner}: update returned {_what(result)}; it must return (learner, metrics), "
                "metrics by name"
            )
        return result[0], jax.device_get(dict(result[1]))


def exported(owner: str, algorithm: Algorithm[Any], learner: Any, spec: EnvSpec) -> PolicyExport:
    """`Algorithm.export`; raises `ForeignError` where it breaks or its layers do not fit.

    spec: of the environment that it reads.
    """
    with calling(owner, algorithm):
        export = algorithm.export(learner)
    if not isinstance(export, PolicyExport):
        raise ForeignError(f"{owner}: export returned {_what(export)}, not a PolicyExport")
    with calling(f"{owner}: what export returned", algorithm):
        for layer in export.layers:
            for tensor in layer.tensors.values():
                np.asarray(tensor, np.float32)
        try:
            graph.infer(export.layers, spec.observations)
        except ValueError as error:
            raise ForeignError(f"{owner}: the policy that export returned: {error}") from None
    return export
