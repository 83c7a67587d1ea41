"""Plays episodes of an environment's expert and keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.demonstrations.episode import Episode, Start
from r2s_core.env import VectorEnv
from r2s_core.errors import R2SError
from r2s_core.keys import key_for
from r2s_core.rollout import Trajectory, rollout
from r2s_core.types import EXPERT_GROUP, Array, Checked, Named

#: Recording gives up where fewer than one in this many episodes can be kept.
_HOPELESS = 50

#: (a PRNG key, noise float32[T, W, A]) -> the trajectory of one episode of each world
Play = Callable[[Array, Array], Trajectory]


def record(
    env: VectorEnv,
    seed: int,
    episodes: int,
    *,
    successful_only: bool = True,
    noise_std: float = 0.0,
    attempted: Callable[[int, int], None] = lambda played, succeeded: None,
) -> Iterator[Episode]:
    """Episodes of the expert of `env`, which observes the group `EXPERT_GROUP`.

    Each round resets every world and plays one episode in it, so short episodes are not preferred;
    which worlds' episodes are kept depends on the number of `episodes` in the last round only.

    Args:
      seed: of the starts and the noise.
      successful_only: leave out episodes that failed. Those in which the physics diverged always
        are.
      noise_std: of the Gaussian noise on executed actions, in [-1, 1] units (Laskey et al. 2017,
        "DART"). Labels are without it.
      attempted: told after each round how many episodes were played in it, and how many of them
        succeeded.

    Raises `R2SError` where hardly any episode can be kept.
    """
    env = env.from_the_start()
    worlds, kept, tried = env.spec.num_worlds, 0, 0
    play = player(env, noise_std)
    number = 0
    while kept < episodes:
        trajectory = play(reset_key(seed, number), _noise(env, seed, number))
        for world in range(worlds):
            start = Start(seed, number, world, worlds)
            episode = _episode(trajectory, world, start)
            if episode is None or (successful_only and not episode.success):
                continue
            yield episode
            kept += 1
            if kept == episodes:
                break
        number, tried = number + 1, tried + worlds
        attempted(worlds, _successes(trajectory))
        if kept < episodes and tried >= max(_HOPELESS * max(kept, 1), 256):
            raise R2SError(_hopeless(tried, kept, successful_only, noise_std))
    if isinstance(env, Checked):
        env.check()


def reset_key(seed: int, number: int) -> Array:
    """The key with which round `number` of a recording resets its worlds."""
    return jax.random.fold_in(key_for(seed, "demonstrations"), number)


def player(env: VectorEnv, noise_std: float) -> Play:
    """Plays one episode of the expert in every world, of `env.from_the_start()`."""
    low, high = jnp.asarray(env.spec.action_low), jnp.asarray(env.spec.action_high)
    scale = noise_std * (high - low) / 2.0

    @jax.jit
    def act(params: Any, obs: Named, noise: Array) -> tuple[Array, Named]:
        return jnp.clip(obs[EXPERT_GROUP] + scale * noise, low, high), {}

    def one_episode(state: Any, obs: Named, noise: Any) -> Trajectory:
        return rollout(env, act, (), state, obs, noise, env.spec.max_episode_steps)[2]

    if env.spec.traceable:
        one_episode = jax.jit(one_episode)

    def play(key: Array, noise: Array) -> Trajectory:
        state, obs = env.reset(key)
        return one_episode(state, obs, noise if env.spec.traceable else np.asarray(noise))

    return play


def _noise(env: VectorEnv, seed: int, number: int) -> Array:
    key = jax.random.fold_in(key_for(seed, "demonstrations' noise"), number)
    shape = (env.spec.max_episode_steps, env.spec.num_worlds, env.spec.action_size)
    return jax.random.normal(key, shape, jnp.float32)


def _hopeless(tried: int, kept: int, successful_only: bool, noise_std: float) -> str:
    if not successful_only:
        return f"demonstrations: in {tried - kept:,} of {tried:,} episodes the physics diverged"
    found = f"demonstrations: of {tried:,} episodes that the expert played, {kept} succeeded; "
    if noise_std > 0:
        return (
            f"{found}the noise of {noise_std:g} may be too much for it: lower noise_std, or keep "
            "failures too, as its labels are right all the same"
        )
    return f"{found}it cannot do this task"


def _successes(trajectory: Trajectory) -> int:
    """Of the first episodes of all worlds, those that succeeded."""
    step = trajectory.step
    last = (np.argmax(np.asarray(step.done), axis=0), np.arange(np.shape(step.done)[1]))
    return int((np.asarray(step.success)[last] & ~np.asarray(step.diverged)[last]).sum())


def _episode(trajectory: Trajectory, world: int, start: Start) -> Episode | None:
    """The first episode of a world; None where its physics diverged."""
    step = trajectory.step
    length = int(np.argmax(np.asarray(step.done)[:, world])) + 1
    last = length - 1
    obs = {name: np.asarray(x)[:length, world] for name, x in trajectory.obs.items()}
    label = obs.pop(EXPERT_GROUP)
    if not np.isfinite(label).all():
        raise R2SError("demonstrations: the expert returned an action that is not a finite number")
    if np.asarray(step.diverged)[last, world]:
        return None
    return Episode(
        obs=obs,
        label=label,
        action=np.asarray(trajectory.action)[:length, world],
        reward=np.asarray(step.reward)[:length, world],
        terminated=bool(np.asarray(step.terminated)[last, world]),
        success=bool(np.asarray(step.success)[last, world]),
        final_obs={
            name: np.asarray(x)[last, world]
            for name, x in step.final_obs.items()
            if name != EXPERT_GROUP
        },
        start=start,
    )
