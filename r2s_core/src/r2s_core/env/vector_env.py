"""The engine: one final class that turns a task into a vectorised environment.

`VectorEnv` composes a backend, a task, reward terms and randomizers, and owns auto-reset,
episode accounting, truncation and divergence. The same jitted pieces serve traceable and
host-driven backends: control -> (physics) -> advance -> (resets) -> observe.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.config import RunConfig
from r2s_core.env.action_chunk import execute
from r2s_core.env.action_history import push_action, with_actions
from r2s_core.env.camera_rig import CameraRig
from r2s_core.env.curriculum import Curriculum, Growth, Levels, level_of
from r2s_core.env.expert import Expert
from r2s_core.env.felt import observe_of
from r2s_core.env.looks import Looks
from r2s_core.env.randomization import Randomization, measured, observed
from r2s_core.env.renderer_choice import with_renderer
from r2s_core.env.scene_check import check_scene
from r2s_core.env.spec import checked_action, checked_key, make_spec
from r2s_core.env.starts import TASK_LEVEL, Start, Starts
from r2s_core.env.variants import Variation
from r2s_core.errors import R2SError
from r2s_core.types import (
    EXPERT_GROUP,
    Array,
    Backend,
    Checked,
    Demonstrations,
    Environment,
    HasBegin,
    HasDifficulty,
    HasStartBank,
    Named,
    Physics,
    Randomizer,
    RemembersEpisode,
    RewardFn,
    SceneSpec,
    Step,
    Task,
    Transition,
    View,
    pytree,
)

_LOOKS, _NEXT_LOOKS = 0x100C5, 0x4E3C7  # any numbers of their own


@pytree
class EnvState:
    """The state of W worlds; leaves [W, ...] except the weights, the share, levels and the key."""

    physics: Physics
    task: Any
    elapsed: Array  # int32[W], control steps of the running episode
    episode_return: Array  # float32[W]
    reward_weights: Named  # float32[] each, at the curriculum's level 1
    start_bank_share: Array  # float32[], the share of episodes that start from the bank
    variant: Array  # int32[W], of the scene
    memory: Mapping[str, Any]  # of the episode's randomizers, by stage
    levels: Levels  # of the curriculum
    past_actions: Array  # float32[W, K, A], the episode's last commanded actions, newest first
    plan: Array  # float32[W, H, A], the chunk of actions that is being executed
    looks: Named  # fields of the model that cameras see, in the running episodes
    images: Named  # each camera's latest, by observation group
    key: Array


@dataclasses.dataclass(frozen=True)
class EngineOptions:
    """How the engine runs a task.

    max_episode_steps: control steps until an episode is truncated.
    start_bank_share: share of episodes that start from the task's start-state bank.
    start_bank_steps: control steps over which that share falls linearly to zero; None: constant.
    stagger: spread the first episodes' ends over time by starting their clocks at random.
    variants: the scene's variants that the worlds are split evenly between; None: those that are
      not held out, sampled for every episode.
    action_history: number of past actions appended to the observation.
    action_chunk: control steps in an action.
    visual_period: control steps after which how a world looks is drawn anew; None: once an episode.
    growths: the curriculum: "task", "rewards.NAME" or "randomization.NAME" -> how it grows.
    """

    max_episode_steps: int
    start_bank_share: float = 0.0
    start_bank_steps: int | None = None
    stagger: bool = False
    variants: tuple[int, ...] | None = None
    action_history: int = 0
    action_chunk: int = 1
    visual_period: int | None = None
    growths: Mapping[str, Growth] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Origin:
    """What an environment was made from.

    config: the run's configuration, with the renderer that draws. looks: how pictures of its
    episodes vary. evaluation: makes the counterpart for evaluation, with a number of worlds.
    """

    config: RunConfig
    looks: Looks
    evaluation: Callable[[int], Environment[Any]]


def with_choices_of(env: Environment[Any], config: RunConfig) -> RunConfig:
    """A run's configuration with what its environment chose for `auto`."""
    if not isinstance(env, VectorEnv) or env.origin is None:
        return config
    return with_renderer(config, env.origin.config.environment.engine.renderer)


def looks_of(env: Environment[Any]) -> Looks | None:
    """How pictures of an environment's episodes vary; None where they do not."""
    if not isinstance(env, VectorEnv) or env.origin is None:
        return None
    return env.origin.looks or None


class VectorEnv:
    """See `r2s_core.types.Environment`."""

    def __init__(
        self,
        task: Task[Any],
        scene: SceneSpec,
        backend: Backend,
        rewards: Mapping[str, tuple[RewardFn, float]],
        options: EngineOptions,
        randomizers: Mapping[str, Randomizer | RemembersEpisode[Any]] | None = None,
        origin: Origin | None = None,
        expert: Expert | None = None,
        rig: CameraRig | None = None,
        vision: Literal["rgb_and_state", "rgb"] | None = None,
    ) -> None:
        """Compose an environment.

        Args:
          rewards: name -> (term, weight).
          randomizers: name -> randomizer; applied in order within each stage.
          origin: what it is made from; None where it is composed by hand.
          expert: whose action in each state is observed, in the group `EXPERT_GROUP`.
          rig: the cameras; None: a policy sees nothing. vision: what it reads with them.

        Raises:
          BackendError: a randomizer varies what the backend cannot, or the scene has numbers that
            no physics can step.
          R2SError: a start-state bank or a difficulty is requested of a task that has none.
        """
        check_scene(scene)
        self.task, self.scene, self.backend, self.options = task, scene, backend, options
        self.origin, self._expert, self._rig = origin, expert, rig
        self._observe_numbers = observe_of(task, vision)
        self.demonstrations: Demonstrations | None = None
        self.rewards = {name: term for name, (term, _) in rewards.items()}
        self._weights = {name: jnp.float32(weight) for name, (_, weight) in rewards.items()}
        self._randomization = Randomization(randomizers or {}, scene, backend)
        self._curriculum = Curriculum(options.growths, backend.num_worlds)
        has_difficulty, has_bank = TASK_LEVEL in options.growths, options.start_bank_share > 0
        if has_difficulty and not isinstance(task, HasDifficulty):
            raise R2SError(
                f"curriculum.task is set, but the task {type(task).__name__} has no difficulty; "
                "drop it"
            )
        if has_bank and not isinstance(task, HasStartBank):
            raise R2SError(
                f"environment.start_state_share is {options.start_bank_share}, but the task "
                f"{type(task).__name__} has no start-state bank; set it to 0"
            )
        self._invalid_start: str | None = None  # why a start was not valid; known on the host only
        self._start = jax.jit(self._start_worlds)
        self._control = jax.jit(self._control_worlds)
        self._advance = jax.jit(self._advance_worlds)
        self._restart = jax.jit(self._restart_worlds)
        self._observe = jax.jit(self._observe_worlds)
        self._compiled: tuple[Any, Any] | None = None
        self._traceable = backend.traceable and (rig is None or rig.traceable)
        if backend.traceable and not self._traceable:  # compiled alone, as it cannot be with all
            self._compiled = jax.jit(backend.step), jax.jit(backend.reset)
        if rig is not None:
            self._dress, self._mark = jax.jit(rig.looks), jax.jit(self._first_markers)
            self._mark_next = jax.jit(self._next_markers)
        self.spec = make_spec(
            task,
            scene,
            backend,
            options.max_episode_steps,
            options.action_history,
            has_expert=expert is not None,
            action_chunk=options.action_chunk,
            vision=vision,
            cameras=None if rig is None else rig.cameras,
            traceable=self._traceable,
        )
        # Of one control step.
        self._low = np.asarray(task.action_low, np.float32)
        self._high = np.asarray(task.action_high, np.float32)
        self._no_action = jnp.clip(0.0, self._low, self._high)
        history = (self.spec.num_worlds, options.action_history, len(self._low))
        self._no_actions = jnp.broadcast_to(self._no_action, history)
        self._no_wrench = jnp.zeros((scene.model.nbody, 6), jnp.float32)
        variants = Variation(scene, backend, options.variants, self._randomization.nominal)
        self._starts = Starts(
            task,
            scene,
            self._randomization,
            variants,
            self._no_action,
            has_bank=has_bank,
            has_difficulty=has_difficulty,
        )

    @property
    def trouble(self) -> str | None:
        """What diverged last and where; None: nothing did, or it is not known."""
        return self._invalid_start or getattr(self.backend, "trouble", None)

    # The interface of algorithms.

    def reset(self, key: Array | None = None, **unknown: Any) -> tuple[EnvState, Named]:
        """Start a new episode in every world. key: a PRNG key, as from `jax.random.key(0)`.

        Raises R2SError if it is something else.
        """
        next_key, start_key, stagger_key, observe_key = jax.random.split(
            checked_key(key, unknown), 4
        )
        share, levels = jnp.float32(self.options.start_bank_share), self._curriculum.init()
        worlds = self.spec.num_worlds
        start = self._start(start_key, share, levels)
        physics = self.backend.init(start.fields, start.qpos, start.qvel)
        physics = self._marked(physics, start.valid)
        elapsed = jnp.zeros(worlds, jnp.int32)
        if self.options.stagger:
            elapsed = jax.random.randint(
                stagger_key, (worlds,), 0, self.options.max_episode_steps, jnp.int32
            )
            elapsed -= elapsed % self.options.action_chunk  # where a plan begins
        state = EnvState(
            physics=physics,
            task=start.task,
            elapsed=elapsed,
            episode_return=jnp.zeros(worlds, jnp.float32),
            reward_weights=self._weights,
            start_bank_share=share,
            variant=start.variant,
            memory=start.memory,
            levels=levels,
            past_actions=self._no_actions,
            plan=jnp.zeros((worlds, self.options.action_chunk, len(self._low)), jnp.float32),
            looks={},
            images={},
            key=next_key,
        )
        rest = dataclasses.replace(state, physics=None)  # type: ignore[arg-type]
        looks: Named = {}
        if self._rig is not None:
            looks = self._dress(_looks_key(start_key), levels, start.variant)
            blank, everyone = self._rig.no_images(), jnp.ones(worlds, bool)
            images = self._see_starts(blank, looks, physics.view, start.task, everyone)
            rest = dataclasses.replace(rest, images=images)
        rest, obs = self._observe(rest, physics.view, np.ones(worlds, bool), None, observe_key)
        return dataclasses.replace(rest, physics=physics, looks=looks), obs

    def step(self, state: EnvState, action: Array) -> tuple[EnvState, Step]:
        """One control step of every world under action float32[W, A], with auto-reset.

        Raises R2SError where the action is of another shape.
        """
        action = checked_action(action, self.spec)
        physics, looks, images = state.physics, state.looks, state.images
        rest = dataclasses.replace(state, physics=None, looks={}, images={})  # type: ignore[arg-type]
        rest, ctrl, wrench, action, keys = self._control(rest, physics.view, action)
        pushed = () if wrench is None else (wrench,)
        moved = self._physics[0](physics, ctrl, *pushed)
        # A world with an invalid start counts as diverged, whatever the step did to it.
        ok = moved.ok & physics.ok
        if self._rig is not None:
            looks = self._next_looks(looks, rest, keys[3])
            images = self._see(images, looks, physics.view, moved.view, ok, rest)
            rest = dataclasses.replace(rest, images=images)
        rest, step = self._advance(rest, physics.view, moved.view, ok, action, keys)
        if not self._traceable and not np.asarray(step.done).any():
            return dataclasses.replace(rest, physics=moved, looks=looks), step  # no reset
        rest, physics = self._reset_done(rest, moved, step.done, keys[3])
        if self._rig is not None:
            if looks:
                fresh = self._dress(_looks_key(keys[3]), rest.levels, rest.variant)
                looks = _where(step.done, fresh, looks)
            images = self._see_starts(images, looks, physics.view, rest.task, step.done)
            rest = dataclasses.replace(rest, images=images)
        rest, obs = self._observe(rest, physics.view, step.done, step.final_obs, keys[2])
        state = dataclasses.replace(rest, physics=physics, looks=looks)
        return state, dataclasses.replace(step, obs=obs)

    @property
    def reward_weights(self) -> dict[str, float]:
        """What each reward term is multiplied by, before a curriculum."""
        return {name: float(weight) for name, weight in self._weights.items()}

    def for_evaluation(self, num_worlds: int) -> Environment[Any]:
        """See `r2s_core.types.HasEvaluation`; itself where it was composed by hand."""
        return self if self.origin is None else self.origin.evaluation(num_worlds)

    def with_demonstrations(self, demonstrations: Demonstrations) -> VectorEnv:
        """The same environment with something to learn from; see `HasDemonstrations`."""
        env = copy.copy(self)
        env.demonstrations = demonstrations
        return env

    def from_the_start(self) -> VectorEnv:
        """The same environment, whose episodes all begin at their start, none from the bank and
        after `reset` none with a running clock, and which takes an action for each control step.
        It shares what has been compiled."""
        env = copy.copy(self)
        env.options = dataclasses.replace(
            self.options, start_bank_share=0.0, stagger=False, action_chunk=1, visual_period=None
        )
        env.spec = dataclasses.replace(
            self.spec,
            action_low=self._low,
            action_high=self._high,
            action_names=self.task.info.action_names,
            action_chunk=1,
        )
        return env

    def check(self) -> None:
        """See `r2s_core.types.Checked`."""
        if isinstance(self.backend, Checked):
            self.backend.check()

    # The parts of `reset` and `step`.

    @property
    def _physics(self) -> tuple[Any, Any]:
        """The backend's `step` and `reset`."""
        return self._compiled or (self.backend.step, self.backend.reset)

    def _marked(self, physics: Physics, valid: Array) -> Physics:
        """The physics with `ok` False where a start was not valid, bool[W]."""
        if not self._traceable:
            valid = np.asarray(valid)  # type: ignore[assignment]
            if not valid.all():
                self._invalid_start = (
                    "a start was not finite, beyond 1e10 or of negative mass: by the task's init, "
                    "its start-state bank, or a randomizer of starts or models"
                )
        return dataclasses.replace(physics, ok=physics.ok & valid)

    def _next_looks(self, looks: Named, rest: EnvState, key: Array) -> Named:
        """How worlds look after a control step, before any reset. rest: the state before it."""
        period = self.options.visual_period
        if period is None or not looks:
            return looks
        fresh = self._dress(jax.random.fold_in(key, _NEXT_LOOKS), rest.levels, rest.variant)
        return _where((rest.elapsed + 1) % period == 0, fresh, looks)

    def _see(
        self, images: Named, looks: Named, before: View, view: View, ok: Array, rest: EnvState
    ) -> Named:
        """The images after a control step, before any reset. rest: the state before it."""
        assert self._rig is not None
        xp: Any = jnp if self._traceable else np
        # As the rest of an observation, those of a diverged world are of its last valid state.
        qpos = xp.where(xp.asarray(ok)[:, None], view.qpos, before.qpos)
        mocap = self._rig.hidden
        if self._rig.shows_markers:
            mocap = self._mark_next(rest.task, ok, view, before)
        due = self._rig.due(xp.asarray(rest.elapsed) + 1)
        return self._rig.see(images, qpos, mocap, looks, due)

    def _first_markers(self, task: Any, view: View) -> Array:
        """Where the markers are as episodes start."""
        assert self._rig is not None
        if isinstance(self.task, HasBegin):
            task = jax.vmap(self.task.begin)(task, view)
        return self._rig.markers(task)

    def _next_markers(self, task: Any, ok: Array, view: View, before: View) -> Array:
        """Where the markers are after a control step."""
        assert self._rig is not None
        return self._rig.markers(jax.vmap(self.task.update)(task, _where(ok, view, before)))

    def _see_starts(
        self, images: Named, looks: Named, view: View, task: Any, fresh: Array
    ) -> Named:
        """The images where episodes start, bool[W]; the others stay."""
        assert self._rig is not None
        fresh = fresh if self._traceable else np.asarray(fresh)  # type: ignore[assignment]
        mocap = self._mark(task, view) if self._rig.shows_markers else self._rig.hidden
        return self._rig.see(images, view.qpos, mocap, looks, self._rig.all_due(fresh))

    def _reset_done(
        self, state: EnvState, physics: Physics, done: Array, key: Array
    ) -> tuple[EnvState, Physics]:
        # Drawn by the program that `reset` has compiled, for all worlds.
        start = self._start(key, state.start_bank_share, state.levels)
        state, valid = self._restart(state, done, start)
        physics = self._physics[1](physics, done, start.fields, start.qpos, start.qvel)
        return state, self._marked(physics, valid)

    def _restart_worlds(self, state: EnvState, done: Array, start: Start) -> tuple[EnvState, Array]:
        """New episodes for the worlds that are done; the others keep what they have. And bool[W],
        whether each start is valid or not used."""
        before = {stage: state.memory[stage] for stage in start.memory}
        state = dataclasses.replace(
            state,
            task=_where(done, start.task, state.task),
            memory={**state.memory, **_where(done, start.memory, before)},
            variant=jnp.where(done, start.variant, state.variant),
            elapsed=jnp.where(done, 0, state.elapsed),
            episode_return=jnp.where(done, 0.0, state.episode_return),
            past_actions=_where(done, self._no_actions, state.past_actions),
        )
        return state, start.valid | ~done

    def _start_worlds(self, key: Array, share: Array, levels: Levels) -> Start:
        return self._starts.draw(key, self.spec.num_worlds, share, levels)

    def _control_worlds(
        self, state: EnvState, view: View, action: Array
    ) -> tuple[EnvState, Array, Array | None, Array, tuple[Array, ...]]:
        """The physics' inputs: ctrl [W, nu], and the wrench on the bodies if any."""
        next_key, action_key, final_key, observe_key, start_key = jax.random.split(state.key, 5)
        plan, action = execute(state.plan, action, state.elapsed)
        action = jnp.clip(action, self._low, self._high)

        def one(
            key: Array, memory: Any, task: Any, variant: Array, view: View, action: Array
        ) -> tuple[Array, Array, dict[str, Any]]:
            context = (state.levels, variant)
            act_key, push_key = jax.random.split(key)
            acted, varied = self._randomization.step(
                "action", memory["action"], act_key, {"action": action}, *context
            )
            pushed, force = self._randomization.step(
                "wrench", memory["wrench"], push_key, {"wrench": self._no_wrench}, *context
            )
            action = jnp.clip(varied["action"], self._low, self._high)
            ctrl = self.task.control(task, view, action)
            return ctrl, force["wrench"], {"action": acted, "wrench": pushed}

        worlds = jax.random.split(action_key, self.spec.num_worlds)
        ctrl, wrench, memory = jax.vmap(one)(
            worlds, state.memory, state.task, state.variant, view, action
        )
        state = dataclasses.replace(
            state,
            memory={**state.memory, **memory},
            past_actions=push_action(state.past_actions, action),
            plan=plan,
        )
        if not self._randomization.has("wrench"):
            wrench = None
        return state, ctrl, wrench, action, (next_key, final_key, observe_key, start_key)

    def _advance_worlds(
        self,
        state: EnvState,
        prev_view: View,
        view: View,
        ok: Array,
        action: Array,
        keys: tuple[Array, ...],
    ) -> tuple[EnvState, Step]:
        """Everything between the physics step and the resets; `state.physics` is None."""
        # A diverged world keeps its last valid view, so that nothing downstream sees a NaN.
        view = _where(ok, view, prev_view)
        task = jax.vmap(self.task.update)(state.task, view)
        terminated = jax.vmap(self.task.terminated)(task, view) & ok
        success = jax.vmap(self.task.success)(task, view) & ok
        metrics = jax.vmap(self.task.metrics)(task, view)
        transition = Transition(prev_view, state.task, action, view, task, terminated, success)
        terms = {
            name: jnp.where(ok, jax.vmap(term)(transition).astype(jnp.float32), 0.0)
            for name, term in self.rewards.items()
        }
        weights = {
            name: weight * level_of(state.levels, f"rewards.{name}")
            for name, weight in state.reward_weights.items()
        }
        reward = sum((weights[n] * v for n, v in terms.items()), jnp.zeros_like(ok, jnp.float32))
        elapsed = state.elapsed + 1
        truncated = ~terminated & ((elapsed >= self.options.max_episode_steps) | ~ok)
        episode_return = state.episode_return + reward
        state = dataclasses.replace(state, task=task)
        memory, final_obs = self._perceive(state, view, keys[1], first=False)
        levels = self._curriculum.advance(state.levels, terminated | truncated, success)
        step = Step(
            obs=final_obs,
            final_obs=final_obs,
            reward=reward,
            terms=terms,
            terminated=terminated,
            truncated=truncated,
            success=success,
            diverged=~ok,
            episode_return=episode_return,
            episode_length=elapsed,
            metrics={**metrics, **self._level_metrics(state.levels)},
            variant=None if self.scene.variants is None else state.variant,
        )
        state = dataclasses.replace(
            state,
            elapsed=elapsed,
            episode_return=episode_return,
            memory={**state.memory, **memory},
            levels=levels,
            start_bank_share=self._next_bank_share(state.start_bank_share),
            key=keys[0],
        )
        return state, step

    def _next_bank_share(self, share: Array) -> Array:
        options = self.options
        if options.start_bank_steps is None:
            return share
        return jnp.maximum(share - options.start_bank_share / max(options.start_bank_steps, 1), 0.0)

    def _level_metrics(self, levels: Levels) -> dict[str, Array]:
        worlds = (self.spec.num_worlds,)
        return {f"level/{n}": jnp.broadcast_to(x, worlds) for n, x in levels.level.items()}

    def _observe_worlds(
        self, state: EnvState, view: View, fresh: Array, seen: Named | None, key: Array
    ) -> tuple[EnvState, Named]:
        """The observation: the first of an episode where `fresh`, elsewhere `seen`."""
        if isinstance(self.task, HasBegin):
            begun = jax.vmap(self.task.begin)(state.task, view)
            state = dataclasses.replace(state, task=_where(fresh, begun, state.task))
        memory, obs = self._perceive(state, view, key, first=True)
        if seen is not None:
            before = {stage: state.memory[stage] for stage in memory}
            memory, obs = _where(fresh, (memory, obs), (before, dict(seen)))
        return dataclasses.replace(state, memory={**state.memory, **memory}), obs

    def _perceive(
        self, state: EnvState, view: View, key: Array, first: bool
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        """The observation of all worlds, and the memory of its randomizers.

        The group "critic" is not perturbed, since critics are never exported.
        """

        observe = self._observe_numbers

        def one(
            key: Array,
            memory: Any,
            task: Any,
            variant: Array,
            view: View,
            past_actions: Array,
            images: dict[str, Array],
        ) -> tuple[dict[str, Any], dict[str, Array]]:
            keys = dict(zip(("reading", "observation"), jax.random.split(key), strict=True))

            def step(stage: Any, values: Named) -> tuple[dict[str, Any], dict[str, Any]]:
                arguments = (keys[stage], values, state.levels, variant)
                if first:
                    return self._randomization.first(stage, *arguments)
                return self._randomization.step(stage, memory[stage], *arguments)

            truth, read = observe(task, view), {}
            obs = dict(truth)
            if self._randomization.has("reading"):
                read, readings = step("reading", measured(self.task, observe, task, view) | images)
                images = {group: readings.pop(group) for group in images}
                obs = observed(self.task, observe, task, view, readings)
                obs |= {name: truth[name] for name in ("critic",) if name in truth}
            obs |= images
            remembered, obs = step("observation", obs)
            obs = with_actions(obs, past_actions)
            if self._expert is not None:
                action = self._expert(task, view)
                obs[EXPERT_GROUP] = jnp.clip(action, self._low, self._high)
            return {"reading": read, "observation": remembered}, obs

        keys = jax.random.split(key, self.spec.num_worlds)
        return jax.vmap(one)(
            keys,
            state.memory,
            state.task,
            state.variant,
            view,
            state.past_actions,
            dict(state.images),
        )


def _looks_key(key: Array) -> Array:
    """For how worlds look: apart from what else is drawn from the key of their starts."""
    return jax.random.fold_in(key, _LOOKS)


def _where(mask: Array, new: Any, old: Any) -> Any:
    """Leaf-wise choice by world: mask [W], leaves [W, ...]."""

    def choose(a: Array, b: Array) -> Array:
        return jnp.where(mask.reshape(mask.shape + (1,) * (jnp.ndim(a) - 1)), a, b)

    return jax.tree.map(choose, new, old)
