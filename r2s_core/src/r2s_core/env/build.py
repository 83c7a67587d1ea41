"""From a run's configuration to its environment."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core import registry
from r2s_core.backends.grouped import GroupedBackend
from r2s_core.config import EngineConfig, PhysicsConfig, RunConfig, Use
from r2s_core.config.user_code import require
from r2s_core.device import resolve_backend
from r2s_core.env.camera_rig import CameraRig, Seen, described_by, images_of, seen_by
from r2s_core.env.contract import check_complete, check_rewards, check_start, check_task
from r2s_core.env.curriculum import Growth
from r2s_core.env.expert import expert_of
from r2s_core.env.felt import observe_of
from r2s_core.env.info_check import check_length
from r2s_core.env.looks import Looks
from r2s_core.env.randomization import measured
from r2s_core.env.renderer_choice import choose, with_renderer
from r2s_core.env.spec import empty_view
from r2s_core.env.variants import variant_of_world
from r2s_core.env.vector_env import EngineOptions, Origin, VectorEnv
from r2s_core.errors import ConfigError, R2SError
from r2s_core.keys import key_for
from r2s_core.suggest import did_you_mean
from r2s_core.system.foreign import ForeignError, calling, is_ours
from r2s_core.task_info import TaskInfo
from r2s_core.types import (
    ArraySpec,
    Backend,
    Environment,
    HasStartBank,
    RandomizerContext,
    RewardFn,
    SceneSpec,
    Task,
)

#: (config, number of worlds, training) -> Environment. In evaluation (training False) there is
#: no start-state bank and nothing is randomised that only serves training.
MakeEnvironment = Callable[[RunConfig, int, bool], Environment[Any]]


def make_environment(
    config: RunConfig,
    num_worlds: int | None = None,
    *,
    training: bool,
    rewarded: bool | None = None,
    trust: bool = False,
) -> Environment[Any]:
    """The environment that a configuration describes.

    Args:
      num_worlds: number of parallel worlds; default: `environment.num_parallel_envs`.
      training: True turns on what only training has: rewards, start states from the bank and
        staggered episodes. Evaluation always starts from the task's own distribution.
      rewarded: whether rewards are built; default: in training.
      trust: allow the reward functions in files that the configuration names to run; see
        `r2s_core.system.trust`.

    Raises:
      R2SError: a plugin, the object or the backend cannot be used.
    """
    rewarded = training if rewarded is None else rewarded
    if rewarded:
        require(config, trust)
    environment = config.environment
    made = registry.build("environment", environment.use, environment.options)
    if hasattr(made, "step"):  # a complete environment instead of a task
        check_complete(f"environment '{environment.use}'", made)
        return made
    return wrap_task(made, config, num_worlds, training=training, rewarded=rewarded)


def wrap_task(
    task: Task[Any],
    config: RunConfig,
    num_worlds: int | None = None,
    *,
    training: bool,
    rewarded: bool | None = None,
) -> VectorEnv:
    """The engine around a task; see `make_environment`."""
    rewarded = training if rewarded is None else rewarded
    engine = config.environment.engine
    owner = f"environment '{config.environment.use}'"
    _check_info(owner, task)
    scene = with_physics(_scene_of(owner, task), engine.physics)
    # An evaluation counts successes: it needs no rewards, and so runs nobody's reward functions.
    rewards = _rewards(task, engine) if rewarded else {}
    _check_contract(owner, task, scene, {name: term for name, (term, _) in rewards.items()})
    worlds = num_worlds or engine.num_parallel_envs
    backend_use = resolve_backend(config).backend
    variants = _played_variants(scene, training)
    backend = _backend(scene, worlds, backend_use, variants)
    share = _start_bank_share(task, engine) if training else 0.0
    if share > 0 and isinstance(task, HasStartBank):
        with calling(owner, task):
            task.build_start_bank(backend, key_for(config.seed, "start-state bank"))
        if not is_ours(task):
            check_start(owner, task, task.init_from_bank, scene)
    options = EngineOptions(
        max_episode_steps=engine.max_episode_steps or task.info.episode_steps,
        start_bank_share=share,
        start_bank_steps=start_bank_steps(config, worlds),
        stagger=training,
        variants=None if training else variants,
        action_history=engine.action_history,
        action_chunk=engine.action_chunk,
        visual_period=engine.visual_period if training else None,
        growths=_growths(config, worlds) if training else {},
    )
    vision = engine.vision
    seen = None if vision is None else seen_by(engine, task, scene)
    randomizers = make_randomizers(config, task, scene, seen, worlds)
    rig = None
    if seen is not None:
        renderer = engine.renderer
        if renderer.use == "auto":
            renderer = choose(described_by(seen, randomizers), worlds, backend.traceable)
            config = with_renderer(config, renderer)  # for evaluation, and for the run's records
        rig = CameraRig(seen, task, scene, worlds, renderer, randomizers, alone=vision == "rgb")
    if training:
        _check_growths(config, rewards)
    moving = {name: r for name, r in randomizers.items() if r.stage != "visual"}
    origin = Origin(
        config,
        Looks(randomizers if rig is None else {}, scene),
        functools.partial(make_environment, config, training=False),
    )
    expert = expert_of(config, task, scene) if training else None
    return VectorEnv(
        task, scene, backend, rewards, options, moving, origin, expert, rig=rig, vision=vision
    )


def _check_contract(
    owner: str, task: Task[Any], scene: SceneSpec, terms: Mapping[str, RewardFn]
) -> None:
    """Check third-party code against its contract; r2s's own passes the kit in its tests."""
    if not all(map(is_ours, (task, *terms.values()))):
        check_rewards(terms, check_task(owner, task, scene))


def _check_info(owner: str, task: Task[Any]) -> None:
    with calling(owner, task):
        info = task.info
    if not isinstance(info, TaskInfo):
        raise ForeignError(
            f"{owner}: info is {type(info).__name__}, not a r2s_core.task_info.TaskInfo"
        )
    check_length(owner, info)


def _scene_of(owner: str, task: Task[Any]) -> SceneSpec:
    with calling(owner, task):
        scene = task.scene()
    if not isinstance(scene, SceneSpec):
        raise ForeignError(f"{owner}: scene() returned {type(scene).__name__}, not a SceneSpec")
    return scene


def with_physics(scene: SceneSpec, physics: PhysicsConfig) -> SceneSpec:
    """The scene with overrides of its physics."""
    if physics == PhysicsConfig():
        return scene
    model = copy.copy(scene.model)
    parts = round(1.0 / physics.timestep_factor)
    model.opt.timestep /= parts
    if physics.integrator is not None:
        model.opt.integrator = getattr(mujoco.mjtIntegrator, f"mjINT_{physics.integrator.upper()}")
    if physics.cone is not None:
        model.opt.cone = getattr(mujoco.mjtCone, f"mjCONE_{physics.cone.upper()}")
    worst_case = scene.worst_case
    if worst_case is not None and model.opt.cone != scene.model.opt.cone:
        worst_case = functools.partial(_with_more_rows, worst_case)
    stepped = dataclasses.replace(
        scene, model=model, substeps=scene.substeps * parts, worst_case=worst_case
    )
    return stepped if scene.implicit_damping is None else _damped(scene, stepped)


def _damped(scene: SceneSpec, stepped: SceneSpec) -> SceneSpec:
    """`stepped` with the armature that its timestep and integrator need.

    The implicit integrators handle the servos' damping themselves, and RK4 is stable without it.
    """
    before, after = scene.model.opt, stepped.model.opt
    share = after.timestep if after.integrator == mujoco.mjtIntegrator.mjINT_EULER else 0.0
    change = (share - before.timestep) * np.asarray(scene.implicit_damping)

    def change_armature(model: mujoco.MjModel) -> None:
        model.dof_armature[:] += change
        mujoco.mj_setConst(model, mujoco.MjData(model))

    variants = stepped.variants
    if variants is not None:  # constants derived from the armature are fields of each variant
        models = [stepped.of_variant(k).model for k in range(len(variants))]
        for model in models:
            change_armature(model)
        fields = {
            name: np.stack([np.array(getattr(model, name)) for model in models])
            for name in variants.fields
        }
        variants = dataclasses.replace(variants, fields=fields)
    change_armature(stepped.model)
    return dataclasses.replace(stepped, variants=variants)


def _with_more_rows(worst_case: Callable[[], tuple[int, int]]) -> tuple[int, int]:
    """The worst case with the other friction cones: a contact of d dimensions has d rows with an
    elliptic cone and 2 (d - 1) with a pyramidal one."""
    contacts, rows = worst_case()
    return contacts, 2 * rows


def make_randomizers(
    config: RunConfig,
    task: Task[Any],
    scene: SceneSpec,
    seen: Seen | None = None,
    num_worlds: int = 1,
) -> dict[str, Any]:
    """The configured randomizers by name, visual ones included, which vary what cameras see.

    Raises `R2SError`, naming the randomizer, where one finds nothing to vary.
    """
    if not config.randomization and seen is None:
        return {}
    vision = config.environment.engine.vision
    context = randomizer_context(task, scene, vision, seen, num_worlds)
    made = {}
    for name, use in config.randomization.items():
        try:
            made[name] = registry.build("randomizer", use.use, use.options, context)
        except ConfigError as error:
            raise ConfigError(f"randomization.{name}: {error}") from error
    return made


def randomizer_context(
    task: Task[Any],
    scene: SceneSpec,
    vision: Literal["rgb_and_state", "rgb"] | None = None,
    seen: Seen | None = None,
    num_worlds: int = 1,
) -> RandomizerContext:
    """What randomizers may read and vary in a task.

    Raises `ConfigError` where a camera has the name of a reading.
    """
    observe = observe_of(task, vision)

    def readings(key: Any) -> Any:
        return measured(task, observe, task.init(key, jnp.int32(0))[0], empty_view(scene))

    def drawn() -> mujoco.MjModel:
        if seen is not None:
            return seen.model
        assert scene.render_spec is not None
        return scene.render_spec(0).compile()

    images = {} if seen is None else images_of(seen)
    shapes_of = jax.eval_shape(readings, jax.random.key(0))
    if taken := [group for group in images if group in shapes_of]:
        raise ConfigError(
            f"environment.cameras: the task {type(task).__name__} has a reading '{taken[0]}', "
            "so no group of images can be called that; give the camera another name"
        )
    # An image that the task itself observes.
    own = {n: x for n, x in shapes_of.items() if not jnp.issubdtype(x.dtype, jnp.floating)}
    images |= {name: ArraySpec(x.shape, x.dtype.name) for name, x in own.items()}
    first = 0 if scene.variants is None else 1
    shapes = {n: np.shape(values)[first:] for n, values in scene.properties.items()}
    nothing = seen is None and scene.render_spec is None
    return RandomizerContext(
        model=scene.model,
        control_dt=scene.control_dt,
        action_names=task.info.action_names,
        readings={n: x.shape for n, x in shapes_of.items() if n not in own},
        properties=shapes,
        images=images,
        drawn_model=None if nothing else drawn,
        cameras=() if seen is None else tuple(seen.cameras),
        num_worlds=num_worlds,
    )


def _growths(config: RunConfig, worlds: int) -> dict[str, Growth]:
    """The curriculum in control steps of each world."""
    steps = config.training.total_timesteps / worlds
    return {
        name: Growth(
            start=growth.start,
            steps=None if growth.over is None else round(growth.over * steps),
            at_success=growth.at_success,
            episodes=growth.episodes,
        )
        for name, growth in config.curriculum.items()
    }


def _check_growths(config: RunConfig, rewards: Mapping[str, Any]) -> None:
    """Raises `R2SError` if the curriculum names an unknown reward term."""
    for name in config.curriculum:
        section, _, label = name.partition(".")
        if section == "rewards" and label not in rewards:
            raise R2SError(
                f"curriculum.{name}: there is no such reward term{did_you_mean(label, rewards)}; "
                f"there are {', '.join(rewards)}"
            )


def _played_variants(scene: SceneSpec, training: bool) -> tuple[int, ...] | None:
    """The variants for training; evaluation uses the held-out ones too."""
    if scene.variants is None:
        return None
    return tuple(
        k for k, held_out in enumerate(scene.variants.held_out) if not training or not held_out
    )


def _backend(scene: SceneSpec, worlds: int, use: Use, variants: tuple[int, ...] | None) -> Backend:
    """The backend; one per variant where it cannot vary the variants' fields per world.

    Raises `R2SError` if there are more variants than worlds.
    """
    if variants is not None and len(variants) > worlds:
        raise R2SError(
            f"{len(variants)} variants of the scene (objects x scales) need as many worlds, but "
            f"there are {worlds}; raise environment.num_parallel_envs (or the evaluation's)"
        )
    backend = registry.build("backend", use.use, scene, worlds, use.options)
    if (
        scene.variants is None
        or variants is None
        or set(scene.variants.fields) <= backend.batchable
    ):
        return backend
    counts = np.unique(variant_of_world(variants, worlds), return_counts=True)[1]
    return GroupedBackend(
        [
            registry.build("backend", use.use, scene.of_variant(k), int(count), use.options)
            for k, count in zip(variants, counts, strict=True)
        ],
        variants,
    )


def _rewards(task: Task[Any], engine: EngineConfig) -> dict[str, tuple[RewardFn, float]]:
    """The configured terms, else the task's own defaults."""
    if engine.rewards is not None:
        return {
            name: (_reward(term.use, term.options), term.weight)
            for name, term in engine.rewards.items()
        }
    if task.info.rewards is None:
        raise R2SError(
            f"the task {type(task).__name__} has no default reward terms; list some under "
            "environment.rewards"
        )
    terms = {}
    for name, weight in task.info.rewards.items():
        terms[name] = (_reward(name, registry.get("reward", name).default_options()), weight)
    return terms


def _reward(use: str, options: Any) -> RewardFn:
    return registry.build("reward", use, options)


def _start_bank_share(task: Task[Any], engine: EngineConfig) -> float:
    if engine.start_state_share is not None:
        return engine.start_state_share
    return task.info.start_state_share


def start_bank_steps(config: RunConfig, num_worlds: int) -> int | None:
    """Control steps of each world over which the bank's share falls to zero; None: constant."""
    until = config.environment.engine.start_state_until
    return None if until is None else round(until * config.training.total_timesteps / num_worlds)
