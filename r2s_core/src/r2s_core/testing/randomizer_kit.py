"""The conformance of randomizers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core import registry
from r2s_core.config.convert import to_dataclass
from r2s_core.config.nodes import Problems, to_node
from r2s_core.env.build import randomizer_context
from r2s_core.env.camera_rig import Seen, images_of, nominal_look, seen_with
from r2s_core.env.felt import observe_of
from r2s_core.env.randomization import measured, model_field
from r2s_core.testing.requirements import (
    require,
    require_equal,
    require_finite,
    require_pure,
    require_same_layout,
)
from r2s_core.testing.tasks import CartTask
from r2s_core.types import (
    ArraySpec,
    Camera,
    HasProprioception,
    Named,
    Randomizer,
    RandomizerContext,
    RemembersEpisode,
    SceneSpec,
    Stage,
    Task,
)

_STAGES = get_args(Stage)
_KEYS, _STEPS = 16, 8
#: The curriculum's level for each key.
_LEVELS = np.repeat(np.array([1.0, 0.37, 0.0], np.float32), [8, 4, 4])

MakeRandomizer = Callable[[RandomizerContext], Randomizer | RemembersEpisode[Any]]


def check_randomizer(
    make: MakeRandomizer,
    task: Task[Any] | None = None,
    cameras: Mapping[str, Camera] | None = None,
) -> None:
    """A randomizer returns exactly what it declares, varies it, is a pure function of its key, and
    returns finite numbers at every level of a curriculum.

    One with memory is run for the first steps of an episode in which nothing changes.

    Args:
        make: builds it, as `lambda context: registry.build("randomizer", NAME, config, context)`.
        task: the task whose model, start states, actions or observations it varies; by default
            a small one of the kit's own.
        cameras: by name, those of the environment; by default it has none.

    Raises:
        AssertionError: with a sentence that says what the randomizer does wrong.
    """
    task = task or CartTask()
    scene = task.scene()
    seen = _seen(task, scene, cameras)
    randomizer = make(randomizer_context(task, scene, _vision(task, seen), seen))
    stage, writes = randomizer.stage, randomizer.writes
    require(stage in _STAGES, f"stage is {stage!r}; it must be one of {', '.join(_STAGES)}")
    require(
        isinstance(writes, frozenset) and writes,
        f"writes is {writes!r}; it must be a frozenset of the names that it returns",
    )
    call = _episode(randomizer) if isinstance(randomizer, RemembersEpisode) else randomizer
    values = nominal_values(randomizer, task, scene, cameras)
    keys = jax.random.split(jax.random.key(0), _KEYS)
    before = jax.tree.map(jnp.array, values)
    returned = call(keys[0], values)
    require_equal(
        dict(values), before, "the values given to the randomizer, which it must not change"
    )
    require(
        set(returned) == set(writes),
        f"it returns {sorted(returned)}, but `writes` declares {sorted(writes)}",
    )
    written = {name: values[name] for name in sorted(writes)}
    require_same_layout(
        written, {name: returned[name] for name in sorted(writes)}, "what it returns"
    )
    batch = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (_KEYS, *leaf.shape)), values)
    batch = {**batch, "level": jnp.asarray(_LEVELS)}
    samples = require_pure(lambda key, one: dict(call(key, one)), (keys, batch), "the randomizer")
    require_finite(samples, f"the randomizer at the levels {_LEVELS[0]:g} to {_LEVELS[-1]:g}")
    if stage in ("action", "reading", "observation") and isinstance(randomizer, RemembersEpisode):
        return  # in an episode where nothing changes, a delay changes nothing
    for name, sample in samples.items():
        full = np.asarray(sample).reshape(_KEYS, -1)[_LEVELS == 1.0]
        require(
            bool((full != full[0]).any()),
            f"{name} is the same under {len(full)} different keys: use the key that is given",
        )
    if stage == "reset":
        _require_unit_quaternions(scene.model, np.asarray(samples.get("qpos", batch["qpos"])))


def build_randomizer(
    name: str,
    task: Task[Any],
    options: Mapping[str, Any] | None = None,
    cameras: Mapping[str, Camera] | None = None,
) -> Any:
    """An installed randomizer, as a run with these cameras builds it from `{name: options}` in its
    YAML file.

    Raises ConfigError where the options are unknown or invalid.
    """
    plugin, problems = registry.get("randomizer", name).plugin, Problems()
    node = to_node(dict(options or {}), "options", Path.cwd())
    config = to_dataclass(plugin.config, node, name, problems)
    problems.raise_if_any()
    scene = task.scene()
    seen = _seen(task, scene, cameras)
    context = randomizer_context(task, scene, _vision(task, seen), seen)
    return registry.build("randomizer", name, config, context)


def _seen(task: Task[Any], scene: SceneSpec, cameras: Mapping[str, Camera] | None) -> Seen | None:
    return None if cameras is None else seen_with(cameras, task, scene)


def _vision(task: Task[Any], seen: Seen | None) -> Literal["rgb_and_state", "rgb"] | None:
    if seen is None:
        return None
    return "rgb_and_state" if isinstance(task, HasProprioception) else "rgb"


def _episode(randomizer: RemembersEpisode[Any]) -> Callable[[Any, Named], Named]:
    """An episode of a few steps with the same values, as one call."""

    def call(key: Any, values: Named) -> Named:
        begin_key, *keys = jax.random.split(key, 1 + _STEPS)
        memory = randomizer.begin(begin_key, values)
        returned: Named = {}
        for step_key in keys:
            after, returned = randomizer.step(memory, step_key, values)
            same = _layout(memory) == _layout(after)
            require(same, "the memory has another structure, shape or dtype after a step")
            memory = after
        return returned

    return call


def _layout(tree: Any) -> Any:
    """Structure, shapes and dtypes, of traced arrays too."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves]


def nominal_values(
    randomizer: Randomizer | RemembersEpisode[Any],
    task: Task[Any],
    scene: SceneSpec,
    cameras: Mapping[str, Camera] | None = None,
) -> dict[str, Any]:
    """What the engine would give to a randomizer of this stage, for one world."""
    seen = _seen(task, scene, cameras)
    first = (lambda x: x) if scene.variants is None else (lambda x: x[0])
    known = {name: jnp.asarray(first(x), jnp.float32) for name, x in scene.properties.items()}
    return {"level": jnp.float32(1.0), **known, **_stage_values(randomizer, task, scene, seen)}


def _stage_values(
    randomizer: Any, task: Task[Any], scene: SceneSpec, seen: Seen | None
) -> dict[str, Any]:
    if randomizer.stage == "visual" and seen is not None:
        return {name: nominal_look(seen.model, name) for name in sorted(randomizer.writes)}
    if randomizer.stage in ("model", "visual"):
        model = scene.model
        if randomizer.stage == "visual":
            require(scene.render_spec is not None, "the task has no render_spec, so no visuals")
            assert scene.render_spec is not None
            model = scene.render_spec(0).compile()
        # Textures are bytes. In the physics integers are structure, so only floats can be varied.
        kind = np.number if randomizer.stage == "visual" else np.floating
        return {name: _model_field(model, name, kind) for name in sorted(randomizer.writes)}
    state, qpos, qvel = task.init(jax.random.key(1), jnp.int32(0))
    if randomizer.stage == "reset":
        return {"qpos": qpos, "qvel": qvel, "banked": jnp.bool_(False)}
    if randomizer.stage == "action":
        return {"action": jnp.asarray(task.action_low, jnp.float32)}
    if randomizer.stage == "wrench":
        return {"wrench": jnp.zeros((scene.model.nbody, 6))}
    config = registry.get("backend", "mujoco").default_options()
    backend = registry.build("backend", "mujoco", scene, 1, config)
    view = backend.init({}, qpos[None], qvel[None]).view
    view = jax.tree.map(lambda leaf: jnp.asarray(leaf)[0], view)
    if randomizer.stage == "reading":
        images = {} if seen is None else images_of(seen)
        return measured(task, observe_of(task, _vision(task, seen)), state, view) | {
            group: jnp.asarray(_picture(spec)) for group, spec in images.items()
        }
    return dict(task.observe(state, view))


def _picture(spec: ArraySpec) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, spec.shape).astype(spec.dtype)


def _model_field(model: mujoco.MjModel, name: str, kind: type) -> jax.Array:
    try:
        field = np.asarray(operator.attrgetter(name)(model))
    except AttributeError:
        field = None
    require(
        field is not None and np.issubdtype(field.dtype, kind),
        f"`writes` names {name}, which is not an array of floats in MjModel",
    )
    return model_field(model, name)


def _require_unit_quaternions(model: mujoco.MjModel, qpos: np.ndarray) -> None:
    """qpos [N, nq]: MuJoCo normalises silently, so unnormalised noise would go unnoticed."""
    free, ball = int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_BALL)
    for kind, start in zip(model.jnt_type, model.jnt_qposadr, strict=True):
        if kind in (free, ball):
            first = start + (3 if kind == free else 0)
            norms = np.linalg.norm(qpos[:, first : first + 4], axis=1)
            require(
                np.allclose(norms, 1.0, atol=1e-3),
                f"qpos[{first}:{first + 4}] is a quaternion, but its length becomes {norms}",
            )
