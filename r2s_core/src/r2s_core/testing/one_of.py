"""Several tiny environments behind one compiled program."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import final

import jax
import jax.numpy as jnp

from r2s_core.testing.environments import TinyEnvironment, TinyState
from r2s_core.types import Array, ArraySpec, Named, Step, pytree


@pytree
class Played:
    """The environment that is played, and its state."""

    which: Array  # int32[]
    state: TinyState


@final
class OneOf:
    """An `Environment` that plays one of several, with one compiled program for all of them.

    Which one is part of the state: `playing(name)` starts in another, and an algorithm that was
    made for this environment continues from there. Observations and memories are padded with zeros
    to the longest; an environment without the group "critic" shows the critic what the policy
    sees, if any other has that group.
    """

    def __init__(self, environments: Mapping[str, TinyEnvironment], first: str = "") -> None:
        """environments: each with the same numbers of worlds and of actions. first: the one to
        start in, by default the first of them."""
        self._environments, self._each = environments, tuple(environments.values())
        self._first = tuple(environments).index(first) if first else 0
        specs = [env.spec for env in self._each]
        self._observed = max(env.rules.observation_size for env in self._each)
        starts = [jax.eval_shape(env.reset, jax.random.key(0))[0] for env in self._each]
        self._memories = [start.memory.shape[1] for start in starts]
        groups = sorted({group for spec in specs for group in spec.observations})
        observations = {group: ArraySpec((self._observed,)) for group in groups}
        self.spec = dataclasses.replace(specs[self._first], observations=observations)

    def playing(self, name: str) -> OneOf:
        """The same, starting in the environment of that name."""
        return OneOf(self._environments, name)

    def reset(self, key: Array) -> tuple[Played, Named]:
        """The environment to start in, every world at the start of an episode."""
        state, obs = self._each[self._first].reset(key)
        return Played(jnp.int32(self._first), self._padded(state)), self._shown(obs)

    def step(self, state: Played, action: Array) -> tuple[Played, Step]:
        """One step of every world, in the environment that is played."""
        branches = [partial(self._step, i) for i in range(len(self._each))]
        after, step = jax.lax.switch(state.which, branches, state.state, action)
        return Played(state.which, after), step

    def _step(self, which: int, state: TinyState, action: Array) -> tuple[TinyState, Step]:
        own = dataclasses.replace(state, memory=state.memory[:, : self._memories[which]])
        after, step = self._each[which].step(own, action)
        obs, final_obs = self._shown(step.obs), self._shown(step.final_obs)
        return self._padded(after), dataclasses.replace(step, obs=obs, final_obs=final_obs)

    def _padded(self, state: TinyState) -> TinyState:
        return dataclasses.replace(state, memory=pad(state.memory, max(self._memories)))

    def _shown(self, obs: Named) -> Named:
        return {g: pad(obs.get(g, obs["policy"]), self._observed) for g in self.spec.observations}


def pad(x: Array, size: int) -> Array:
    """x [..., n] with zeros appended, [..., size]."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, size - x.shape[-1])])
