"""Tiny environments with known answers, which expose a wrong algorithm.

Each is vectorised, auto-resetting and pure JAX; its docstring says what a correct learner finds.
`HostDriven` makes any of them refuse to be traced, as the `mujoco` backend does; `WithExpert` gives
any of them an expert, `WithDemonstrations` episodes of one, and `Seen` a camera.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, final

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from r2s_core.rollout import rollout
from r2s_core.types import (
    EXPERT_GROUP,
    Array,
    ArraySpec,
    Demonstrations,
    Environment,
    EnvSpec,
    Named,
    Step,
    pytree,
)


@dataclasses.dataclass(frozen=True)
class Rules:
    """The rules of ONE world, as pure functions of its memory float32[m].

    init: (key) -> memory.
    step: (memory, action float32[A]) -> (memory, reward float32[], terminated bool[]).
    observe: (memory) -> float32[n], the group "policy".
    observe_critic: (memory) -> float32[n], the group "critic"; None: there is none.
    """

    observation_size: int
    action_size: int
    max_episode_steps: int
    init: Callable[[Array], Array]
    step: Callable[[Array, Array], tuple[Array, Array, Array]]
    observe: Callable[[Array], Array]
    observe_critic: Callable[[Array], Array] | None = None


@pytree
class TinyState:
    """State of W worlds."""

    memory: Array  # float32[W, m]
    length: Array  # int32[W], steps of the running episode
    episode_return: Array  # float32[W]
    key: Array


@final
class TinyEnvironment:
    """An `Environment` that plays `Rules` in W parallel worlds."""

    def __init__(self, rules: Rules, num_worlds: int) -> None:
        self.rules = rules
        groups = ("policy",) if rules.observe_critic is None else ("policy", "critic")
        self.spec = EnvSpec(
            num_worlds=num_worlds,
            observations={group: ArraySpec((rules.observation_size,)) for group in groups},
            action_low=np.full(rules.action_size, -1.0, np.float32),
            action_high=np.full(rules.action_size, 1.0, np.float32),
            max_episode_steps=rules.max_episode_steps,
            control_dt=1.0,
            traceable=True,
        )

    def reset(self, key: Array) -> tuple[TinyState, Named]:
        """Every world at the start of an episode."""
        key, init_key = jax.random.split(key)
        memory = self._init(init_key)
        worlds = self.spec.num_worlds
        state = TinyState(memory, jnp.zeros(worlds, jnp.int32), jnp.zeros(worlds, jnp.float32), key)
        return state, self._observe(memory)

    def step(self, state: TinyState, action: Array) -> tuple[TinyState, Step]:
        """One step of every world; worlds whose episode ends are reset at once."""
        key, init_key = jax.random.split(state.key)
        low, high = self.spec.action_low, self.spec.action_high
        memory, reward, terminated = jax.vmap(self.rules.step)(
            state.memory, jnp.clip(action, low, high)
        )
        memory, reward = memory.astype(jnp.float32), reward.astype(jnp.float32)
        length = state.length + 1
        episode_return = state.episode_return + reward
        truncated = (length >= self.rules.max_episode_steps) & ~terminated
        done = terminated | truncated
        next_memory = jnp.where(done[:, None], self._init(init_key), memory)
        step = Step(
            obs=self._observe(next_memory),
            final_obs=self._observe(memory),
            reward=reward,
            terms={"reward": reward},
            terminated=terminated,
            truncated=truncated,
            success=jnp.zeros_like(done),
            diverged=jnp.zeros_like(done),
            episode_return=episode_return,
            episode_length=length,
            metrics={},
        )
        state = TinyState(
            memory=next_memory,
            length=jnp.where(done, 0, length),
            episode_return=jnp.where(done, 0.0, episode_return),
            key=key,
        )
        return state, step

    def _init(self, key: Array) -> Array:
        memory = jax.vmap(self.rules.init)(jax.random.split(key, self.spec.num_worlds))
        return memory.astype(jnp.float32)

    def _observe(self, memory: Array) -> Named:
        observed = {"policy": self.rules.observe, "critic": self.rules.observe_critic}
        return {
            group: jax.vmap(observe)(memory).astype(jnp.float32)
            for group, observe in observed.items()
            if observe is not None
        }


def constant_reward(num_worlds: int, max_episode_steps: int = 8) -> TinyEnvironment:
    """Reward 1 at every step; episodes are truncated and never terminate.

    Known answer: the value is 1 / (1 - discount) in every state, for any policy. A learner that
    mistakes truncation for termination finds less.
    """
    rules = Rules(
        observation_size=1,
        action_size=1,
        max_episode_steps=max_episode_steps,
        init=lambda key: jnp.zeros(1),
        step=lambda memory, action: (memory, jnp.float32(1.0), jnp.bool_(False)),
        observe=lambda memory: memory,
    )
    return TinyEnvironment(rules, num_worlds)


def bandit(num_worlds: int) -> TinyEnvironment:
    """One step: the reward is -(action - target)^2, with the target in the observation.

    Known answer: action = observation, which lies in [-0.8, 0.8]; the return is then 0.
    """
    rules = Rules(
        observation_size=1,
        action_size=1,
        max_episode_steps=2,
        init=lambda key: jax.random.uniform(key, (1,), minval=-0.8, maxval=0.8),
        step=lambda memory, action: (
            memory,
            -jnp.sum(jnp.square(action - memory)),
            jnp.bool_(True),
        ),
        observe=lambda memory: memory,
    )
    return TinyEnvironment(rules, num_worlds)


def coin(num_worlds: int) -> TinyEnvironment:
    """One step: the reward is a coin, 0 or 1, that only the group "critic" shows.

    Known answer: the value is what the critic sees, for any policy, which sees nothing.
    """
    rules = Rules(
        observation_size=1,
        action_size=1,
        max_episode_steps=2,
        init=lambda key: jax.random.bernoulli(key, 0.5, (1,)).astype(jnp.float32),
        step=lambda memory, action: (memory, memory[0], jnp.bool_(True)),
        observe=jnp.zeros_like,
        observe_critic=lambda memory: memory,
    )
    return TinyEnvironment(rules, num_worlds)


def two_step_credit(num_worlds: int) -> TinyEnvironment:
    """The first action is rewarded at the second step, and the second action not at all.

    The memory and the observation are (stage, first action). Known answer: the first action is
    +1 and the return 1; the value is discount in the first state and the first action in the
    second. A learner that credits a reward only to its own step learns nothing.
    """

    def step(memory: Array, action: Array) -> tuple[Array, Array, Array]:
        second = memory[0] > 0.5
        reward = jnp.where(second, memory[1], 0.0)
        return jnp.where(second, memory, jnp.stack([1.0, action[0]])), reward, second

    rules = Rules(
        observation_size=2,
        action_size=1,
        max_episode_steps=4,
        init=lambda key: jnp.zeros(2),
        step=step,
        observe=lambda memory: memory,
    )
    return TinyEnvironment(rules, num_worlds)


def corridor(
    num_worlds: int, ends_by: Literal["termination", "truncation"], length: int = 5
) -> TinyEnvironment:
    """Reward 1 for `length` steps, then the episode terminates, or is truncated.

    The observation is the one-hot place; where episodes are truncated the corridor is a ring, so
    that the last place is followed by the first. Known answer in place t: on termination
    (1 - discount^(length - t)) / (1 - discount), on truncation 1 / (1 - discount) everywhere;
    `corridor_values` has the numbers.
    """
    terminates = ends_by == "termination"

    def step(memory: Array, action: Array) -> tuple[Array, Array, Array]:
        place = memory + 1.0
        return place, jnp.float32(1.0), (place[0] >= length) & terminates

    rules = Rules(
        observation_size=length + 1,
        action_size=1,
        max_episode_steps=length + 1 if terminates else length,
        init=lambda key: jnp.zeros(1),
        step=step,
        observe=lambda memory: jax.nn.one_hot(
            memory[0].astype(jnp.int32) % (length + terminates), length + 1
        ),
    )
    return TinyEnvironment(rules, num_worlds)


def corridor_values(
    discount: float, ends_by: Literal["termination", "truncation"], length: int = 5
) -> np.ndarray:
    """The true values of the places 0 to length - 1 of `corridor`, float64[length]."""
    if ends_by == "truncation":
        return np.full(length, 1.0 / (1.0 - discount))
    return (1.0 - discount ** (length - np.arange(length))) / (1.0 - discount)


def point_mass(num_worlds: int, max_episode_steps: int = 40) -> TinyEnvironment:
    """Push a point on a line to 0 and hold it there; reward exp(-4 position^2) per step.

    The observation is (position, velocity); action 1 pushes with 2 m/s^2 at 10 Hz, against
    some friction. Known answer: from its start states a good policy earns above 0.85 per step (a
    proportional-derivative one 0.9), a random one 0.4.
    """

    def step(memory: Array, action: Array) -> tuple[Array, Array, Array]:
        velocity = 0.95 * memory[1] + 0.2 * action[0]
        position = jnp.clip(memory[0] + 0.1 * velocity, -2.0, 2.0)
        reward = jnp.exp(-4.0 * jnp.square(position))
        return jnp.stack([position, velocity]), reward, jnp.bool_(False)

    rules = Rules(
        observation_size=2,
        action_size=1,
        max_episode_steps=max_episode_steps,
        init=lambda key: jnp.concatenate(
            [jax.random.uniform(key, (1,), minval=-1.0, maxval=1.0), jnp.zeros(1)]
        ),
        step=step,
        observe=lambda memory: memory,
    )
    return TinyEnvironment(rules, num_worlds)


#: The signs that open `combination_lock`, one per stage.
COMBINATION = np.array([1, -1, 1, 1, -1, -1, 1, 1, 1, -1, -1, -1, 1, 1, -1, 1], np.float32)


def combination_lock(num_worlds: int) -> TinyEnvironment:
    """Reward 1 for 16 actions in a row of the right signs, those of `COMBINATION`; a wrong one
    leads back to the first stage. The one-hot observation is the stage.

    Known answer: `open_the_lock` earns 1 in every episode, within 16 steps; random signs open it
    once in 2^17 steps, so from rewards alone there is nothing to learn.
    """
    stages = len(COMBINATION)

    def step(memory: Array, action: Array) -> tuple[Array, Array, Array]:
        right = action[0] * jnp.asarray(COMBINATION)[memory[0].astype(jnp.int32)] > 0
        stage = jnp.where(right, memory + 1.0, 0.0)
        opened = stage[0] >= stages
        return stage, opened.astype(jnp.float32), opened

    rules = Rules(
        observation_size=stages,
        action_size=1,
        max_episode_steps=2 * stages,
        init=lambda key: jnp.zeros(1),
        step=step,
        observe=lambda memory: jax.nn.one_hot(memory[0].astype(jnp.int32), stages),
    )
    return TinyEnvironment(rules, num_worlds)


def open_the_lock(observation: Array) -> Array:
    """The right signs for `combination_lock`, float32[..., 1]."""
    return (observation @ jnp.asarray(COMBINATION))[..., None]


def push_to_the_middle(observation: Array) -> Array:
    """A good policy of `point_mass`: proportional-derivative control, float32[..., 1]."""
    position, velocity = observation[..., :1], observation[..., 1:]
    return jnp.clip(-8.0 * position - 4.0 * velocity, -1.0, 1.0)


@final
class WithExpert:
    """The same environment, in which one also observes what an expert would do."""

    def __init__(self, environment: Environment, expert: Callable[[Array], Array]) -> None:
        """expert: from what a policy observes, float32[W, n], its actions, float32[W, A]."""
        self.environment, self.expert = environment, expert
        label = {EXPERT_GROUP: ArraySpec((environment.spec.action_size,))}
        observations = {**environment.spec.observations, **label}
        self.spec = dataclasses.replace(environment.spec, observations=observations)

    def reset(self, key: Array) -> tuple[Any, Named]:
        """As that of the environment."""
        state, obs = self.environment.reset(key)
        return state, self._labelled(obs)

    def step(self, state: Any, action: Array) -> tuple[Any, Step]:
        """As that of the environment."""
        state, step = self.environment.step(state, action)
        obs, final_obs = self._labelled(step.obs), self._labelled(step.final_obs)
        return state, dataclasses.replace(step, obs=obs, final_obs=final_obs)

    def _labelled(self, obs: Named) -> Named:
        return {**obs, EXPERT_GROUP: self.expert(obs["policy"])}


@final
class Seen:
    """The same environment, in which some numbers are seen in an image instead of read.

    The group "camera", uint8[4, 24, 3], has a bright column per hidden number, in a channel each,
    at its value between -1.5 and 1.5. "policy" has the other numbers, if there are any; "critic"
    all of them, named number_0, number_1, ...
    """

    _COLUMNS = np.linspace(-1.5, 1.5, 24, dtype=np.float32)

    def __init__(self, environment: Environment, hidden: tuple[int, ...] = (0,)) -> None:
        """hidden: up to three numbers of the group "policy", by their places."""
        self.environment, self._hidden = environment, hidden
        groups = dict(environment.spec.observations)
        (size,) = groups.pop("policy").shape
        self._rest = tuple(i for i in range(size) if i not in hidden)
        if self._rest:
            groups["policy"] = ArraySpec((len(self._rest),))
        groups["camera"] = ArraySpec((4, len(self._COLUMNS), 3), "uint8")
        groups["critic"] = ArraySpec((size,), names=tuple(f"number_{i}" for i in range(size)))
        self.spec = dataclasses.replace(environment.spec, observations=groups)

    def reset(self, key: Array) -> tuple[Any, Named]:
        """As that of the environment."""
        state, obs = self.environment.reset(key)
        return state, self.seen(obs)

    def step(self, state: Any, action: Array) -> tuple[Any, Step]:
        """As that of the environment."""
        state, step = self.environment.step(state, action)
        obs, final_obs = self.seen(step.obs), self.seen(step.final_obs)
        return state, dataclasses.replace(step, obs=obs, final_obs=final_obs)

    def seen(self, obs: Named) -> Named:
        """What is observed where the environment observes `obs`, of any leading dimensions."""
        numbers = obs["policy"]
        places = numbers[..., jnp.asarray(self._hidden)]
        bright = 255 * jnp.exp(-0.5 * ((self._COLUMNS[:, None] - places[..., None, :]) / 0.15) ** 2)
        bright = jnp.pad(bright, [(0, 0)] * (bright.ndim - 1) + [(0, 3 - len(self._hidden))])
        shape = (*numbers.shape[:-1], *self.spec.observations["camera"].shape)
        camera = jnp.broadcast_to(bright[..., None, :, :], shape).astype(jnp.uint8)
        read = {"policy": numbers[..., jnp.asarray(self._rest)]} if self._rest else {}
        rest = {name: x for name, x in obs.items() if name != "policy"}
        return {**rest, **read, "camera": camera, "critic": numbers}


@final
class WithDemonstrations:
    """The same environment with recorded demonstrations."""

    def __init__(self, environment: Environment, demonstrations: Demonstrations) -> None:
        self.environment, self.demonstrations = environment, demonstrations
        self.spec = environment.spec

    def reset(self, key: Array) -> tuple[Any, Named]:
        """As that of the environment."""
        return self.environment.reset(key)

    def step(self, state: Any, action: Array) -> tuple[Any, Step]:
        """As that of the environment."""
        return self.environment.step(state, action)


def recorded(
    environment: Environment, expert: Callable[[Array], Array], steps: int, key: Array
) -> Demonstrations:
    """`steps` control steps of every world in which an expert acts, world by world.

    expert: from what a policy observes, float32[W, n], its actions, float32[W, A].
    """

    def act(params: Any, obs: Named, key: Array) -> tuple[Array, Named]:
        return expert(obs["policy"]), {}

    act_key, reset_key = jax.random.split(key)
    play = partial(rollout, environment, act, (), key=act_key, length=steps)
    state, obs = environment.reset(reset_key)
    _, _, played = (jax.jit(play) if environment.spec.traceable else play)(state=state, obs=obs)

    def flat(x: Array) -> Array:
        return jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:])

    step = jax.tree.map(flat, played.step)
    action = flat(played.action)
    ends = jnp.concatenate([jnp.zeros(1, bool), step.done[:-1]])
    starts = ends.at[jnp.arange(environment.spec.num_worlds) * steps].set(True)
    return Demonstrations(
        obs=jax.tree.map(flat, dict(played.obs)),
        label=action,
        action=action,
        next_obs=step.final_obs,
        reward=step.reward,
        terminated=step.terminated,
        truncated=step.truncated,
        episode=jnp.cumsum(starts, dtype=jnp.int32) - 1,
    )


@final
class HostDriven:
    """The same environment as a host-driven one: `step` and `reset` refuse to be traced."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.spec = dataclasses.replace(environment.spec, traceable=False)
        # Op by op they would take many times longer.
        self._reset, self._step = jax.jit(environment.reset), jax.jit(environment.step)

    def reset(self, key: Array) -> tuple[Any, Named]:
        """As that of the environment."""
        self._refuse_tracing(key)
        return self._reset(key)

    def step(self, state: Any, action: Array) -> tuple[Any, Step]:
        """As that of the environment."""
        self._refuse_tracing((state, action))
        return self._step(state, action)

    @staticmethod
    def _refuse_tracing(values: Any) -> None:
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(values)):
            raise TypeError("a host-driven environment was called inside jit, vmap or scan")
