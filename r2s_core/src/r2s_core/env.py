"""The engine: one final class that makes a vectorised environment of a task.

`VectorEnv` composes a backend, a task, reward terms and randomizers, and owns auto-reset,
episode accounting, truncation and divergence. The same jitted pieces serve traceable and
host-driven backends: control -> (physics) -> advance -> (resets) -> observe.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.config import RunConfig
from r2s_core.errors import BackendError, R2SError
from r2s_core.types import (
    Array,
    Backend,
    Checked,
    EnvSpec,
    HasStartBank,
    Named,
    Physics,
    Randomizer,
    RewardFn,
    SceneSpec,
    Step,
    Task,
    Transition,
    View,
    pytree,
)
from r2s_core.variants import Variation


@pytree
class EnvState:
    """Where W worlds stand; leaves [W, ...] but for the weights, the share and the key."""

    physics: Physics
    task: Any
    elapsed: Array  # int32[W], control steps of the running episode
    episode_return: Array  # float32[W]
    reward_weights: Named  # float32[] each; traced, so that a curriculum may change them
    start_bank_share: Array  # float32[], the share of episodes that start from the bank
    variant: Array  # int32[W], of the scene
    key: Array


@dataclasses.dataclass(frozen=True)
class EngineOptions:
    """How the engine runs a task.

    max_episode_steps: control steps until an episode is truncated.
    start_bank_share: share of episodes that start from the task's start-state bank.
    start_bank_steps: control steps over which that share falls evenly to zero; None: it stays.
    stagger: spread the first episodes' ends over time by starting their clocks at random.
    variants: which of the scene's variants are played, each in its own share of the worlds;
      None: those that are not held out, drawn anew for every episode.
    """

    max_episode_steps: int
    start_bank_share: float = 0.0
    start_bank_steps: int | None = None
    stagger: bool = False
    variants: tuple[int, ...] | None = None


class VectorEnv:
    """See `r2s_core.types.Environment`.

    config: the run's configuration, where the environment was made from one: whoever is given
    an environment to train in can then make its like for evaluation.
    """

    config: RunConfig | None = None

    def __init__(
        self,
        task: Task[Any],
        scene: SceneSpec,
        backend: Backend,
        rewards: Mapping[str, tuple[RewardFn, float]],
        options: EngineOptions,
        randomizers: Mapping[str, Randomizer] | None = None,
    ) -> None:
        """Compose an environment.

        Args:
          rewards: name -> (term, weight).
          randomizers: name -> randomizer; applied in order within each stage.

        Raises:
          BackendError: a randomizer varies a model field that the backend cannot.
          R2SError: the start-state bank is asked of a task that has none.
        """
        self.task, self.scene, self.backend, self.options = task, scene, backend, options
        self.rewards = {name: term for name, (term, _) in rewards.items()}
        self._weights = {name: jnp.float32(weight) for name, (_, weight) in rewards.items()}
        self._randomizers = dict(randomizers or {})
        self._nominal = _nominal_fields(self._randomizers, scene, backend)
        self._has_bank = options.start_bank_share > 0
        if self._has_bank and not isinstance(task, HasStartBank):
            raise R2SError(
                f"environment.start_state_share is {options.start_bank_share}, but the task "
                f"{type(task).__name__} has no start-state bank; set it to 0"
            )
        self._variants = Variation(scene, backend, options.variants)
        self._start = jax.jit(jax.vmap(self._start_one, in_axes=(0, None, 0)))
        self._control = jax.jit(self._control_worlds)
        self._advance = jax.jit(self._advance_worlds)
        self._restart = jax.jit(self._restart_worlds)
        self._observe = jax.jit(self._observe_worlds)
        self.spec = self._make_spec()

    # What an algorithm calls.

    def reset(self, key: Array) -> tuple[EnvState, Named]:
        """Start every world afresh. `key`: a typed PRNG key."""
        key, start_key, stagger_key, observe_key = jax.random.split(key, 4)
        share = jnp.float32(self.options.start_bank_share)
        worlds = self.spec.num_worlds
        variant = self._variants.draw(start_key)
        task, qpos, qvel, fields = self._start(jax.random.split(start_key, worlds), share, variant)
        physics = self.backend.init(fields, qpos, qvel)
        elapsed = jnp.zeros(worlds, jnp.int32)
        if self.options.stagger:
            elapsed = jax.random.randint(
                stagger_key, (worlds,), 0, self.options.max_episode_steps, jnp.int32
            )
        state = EnvState(
            physics=physics,
            task=task,
            elapsed=elapsed,
            episode_return=jnp.zeros(worlds, jnp.float32),
            reward_weights=self._weights,
            start_bank_share=share,
            variant=variant,
            key=key,
        )
        return state, self._observe(task, physics.view, observe_key)

    def step(self, state: EnvState, action: Array) -> tuple[EnvState, Step]:
        """One control step of every world under action float32[W, A], with auto-reset."""
        physics = state.physics
        rest = dataclasses.replace(state, physics=None)  # type: ignore[arg-type]
        ctrl, action, keys = self._control(rest, physics.view, action)
        moved = self.backend.step(physics, ctrl, self.scene.substeps)
        rest, step = self._advance(rest, physics.view, moved.view, moved.ok, action, keys)
        rest, physics = self._reset_done(rest, moved, step.done, keys[3])
        obs = self._observe(rest.task, physics.view, keys[2])
        state = dataclasses.replace(rest, physics=physics)
        return state, dataclasses.replace(step, obs=obs)

    def check(self) -> None:
        """See `r2s_core.types.Checked`."""
        if isinstance(self.backend, Checked):
            self.backend.check()

    # The pieces.

    def _reset_done(
        self, state: EnvState, physics: Physics, done: Array, key: Array
    ) -> tuple[EnvState, Physics]:
        if not self.backend.traceable and not np.asarray(done).any():
            return state, physics
        state, (qpos, qvel, fields) = self._restart(state, done, key)
        return state, self.backend.reset(physics, done, fields, qpos, qvel)

    def _restart_worlds(
        self, state: EnvState, done: Array, key: Array
    ) -> tuple[EnvState, tuple[Any, ...]]:
        """New episodes for the worlds that are done; the others keep what they have."""
        keys = jax.random.split(key, self.spec.num_worlds)
        variant = self._variants.draw(key)
        task, qpos, qvel, fields = self._start(keys, state.start_bank_share, variant)
        state = dataclasses.replace(
            state,
            task=_where(done, task, state.task),
            variant=jnp.where(done, variant, state.variant),
            elapsed=jnp.where(done, 0, state.elapsed),
            episode_return=jnp.where(done, 0.0, state.episode_return),
        )
        return state, (qpos, qvel, fields)

    def _start_one(
        self, key: Array, share: Array, variant: Array
    ) -> tuple[Any, Array, Array, Named]:
        """A start of one world: task state, qpos, qvel and model fields."""
        fresh_key, bank_key, choice_key, random_key = jax.random.split(key, 4)
        of_variant = () if self.scene.variants is None else (variant,)
        task, qpos, qvel = self.task.init(fresh_key, *of_variant)
        if self._has_bank:
            banked = self.task.init_from_bank(bank_key, *of_variant)  # type: ignore[attr-defined]
            use = jax.random.uniform(choice_key) < share
            task, qpos, qvel = jax.tree.map(
                lambda b, f: jnp.where(use, b, f), banked, (task, qpos, qvel)
            )
        start = self._randomize("reset", random_key, {"qpos": qpos, "qvel": qvel})
        nominal = dict(self._nominal) | self._variants.fields(variant)
        fields = self._randomize("model", random_key, nominal)
        return task, start["qpos"], start["qvel"], fields

    def _control_worlds(
        self, state: EnvState, view: View, action: Array
    ) -> tuple[Array, Array, tuple[Array, ...]]:
        next_key, action_key, final_key, observe_key, start_key = jax.random.split(state.key, 5)
        action = jnp.clip(action, self.spec.action_low, self.spec.action_high)

        def one(key: Array, task: Any, view: View, action: Array) -> Array:
            action = self._randomize("action", key, {"action": action})["action"]
            return self.task.control(task, view, action)

        worlds = jax.random.split(action_key, self.spec.num_worlds)
        ctrl = jax.vmap(one)(worlds, state.task, view, action)
        return ctrl, action, (next_key, final_key, observe_key, start_key)

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
        # A diverged world shows its last sane view, so that nothing downstream sees a NaN.
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
        reward = sum(
            (state.reward_weights[n] * v for n, v in terms.items()), jnp.zeros_like(ok, jnp.float32)
        )
        elapsed = state.elapsed + 1
        truncated = ~terminated & ((elapsed >= self.options.max_episode_steps) | ~ok)
        final_obs = jax.vmap(self.task.observe)(task, view)
        episode_return = state.episode_return + reward

        final_obs = self._randomize_worlds("observation", keys[1], final_obs)
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
            metrics=metrics,
            variant=None if self.scene.variants is None else state.variant,
        )
        state = dataclasses.replace(
            state,
            task=task,
            elapsed=elapsed,
            episode_return=episode_return,
            start_bank_share=self._next_bank_share(state.start_bank_share),
            key=keys[0],
        )
        return state, step

    def _next_bank_share(self, share: Array) -> Array:
        options = self.options
        if options.start_bank_steps is None:
            return share
        return jnp.maximum(share - options.start_bank_share / max(options.start_bank_steps, 1), 0.0)

    def _observe_worlds(self, task: Any, view: View, key: Array) -> Named:
        return self._randomize_worlds("observation", key, jax.vmap(self.task.observe)(task, view))

    def _randomize_worlds(self, stage: str, key: Array, values: Named) -> Named:
        if not any(r.stage == stage for r in self._randomizers.values()):
            return values
        keys = jax.random.split(key, self.spec.num_worlds)
        return jax.vmap(lambda k, v: self._randomize(stage, k, v))(keys, values)

    def _randomize(self, stage: str, key: Array, values: Named) -> Named:
        """Apply the stage's randomizers to one world's values, each with its own key."""
        values = dict(values)
        for i, (name, randomizer) in enumerate(self._randomizers.items()):
            if randomizer.stage != stage:
                continue
            new = randomizer(jax.random.fold_in(key, i), values)
            if set(new) != set(randomizer.writes):
                raise R2SError(
                    f"randomizer {name} returned {sorted(new)}, but declares that it writes "
                    f"{sorted(randomizer.writes)}; the two must be equal"
                )
            values.update(new)
        return values

    def _make_spec(self) -> EnvSpec:
        def first_observation(key: Array) -> Named:
            of_variant = () if self.scene.variants is None else (jnp.int32(0),)
            task, _, _ = self.task.init(key, *of_variant)
            return self.task.observe(task, _empty_view(self.scene))

        shapes = jax.eval_shape(first_observation, jax.random.key(0))
        low = np.asarray(self.task.action_low, np.float32)
        return EnvSpec(
            num_worlds=self.backend.num_worlds,
            observation_shapes={name: leaf.shape for name, leaf in shapes.items()},
            action_low=low,
            action_high=np.asarray(self.task.action_high, np.float32),
            max_episode_steps=self.options.max_episode_steps,
            control_dt=self.scene.control_dt,
            traceable=self.backend.traceable,
            observation_names=getattr(self.task, "observation_names", {}),
        )


def _where(mask: Array, new: Any, old: Any) -> Any:
    """Leaf-wise choice by world: mask [W], leaves [W, ...]."""

    def choose(a: Array, b: Array) -> Array:
        return jnp.where(mask.reshape(mask.shape + (1,) * (jnp.ndim(a) - 1)), a, b)

    return jax.tree.map(choose, new, old)


def _nominal_fields(
    randomizers: Mapping[str, Randomizer], scene: SceneSpec, backend: Backend
) -> dict[str, Array]:
    """The model fields that randomizers vary, at their nominal values."""
    fields: dict[str, Array] = {}
    for name, randomizer in randomizers.items():
        if randomizer.stage != "model":
            continue
        for field in sorted(randomizer.writes):
            if field not in backend.batchable:
                raise BackendError(
                    f"randomizer {name} varies the model field {field}, which the backend "
                    f"{backend.name} cannot vary per world; drop it or choose another backend"
                )
            fields[field] = jnp.asarray(getattr(scene.model, field), jnp.float32)
    return fields


def _empty_view(scene: SceneSpec) -> View:
    """A view of zeros of one world, with only the fields that the scene declares."""
    m = scene.model
    shapes = {
        "time": (),
        "qpos": (m.nq,),
        "qvel": (m.nv,),
        "ctrl": (m.nu,),
        "xpos": (m.nbody, 3),
        "xquat": (m.nbody, 4),
        "site_xpos": (m.nsite, 3),
        "site_xmat": (m.nsite, 3, 3),
        "sensordata": (m.nsensordata,),
    }
    unknown = scene.view_fields - set(shapes)
    if unknown:
        raise R2SError(f"the scene asks for view fields that do not exist: {sorted(unknown)}")
    zeros = {k: jnp.zeros(v, jnp.float32) for k, v in shapes.items() if k in scene.view_fields}
    return View.of(zeros)
