"""Gymnasium's tasks for comparisons with Stable-Baselines3: as an environment, and evaluation.

Gymnasium is only installed where these benchmarks run; they say how.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

EVALUATION_EPISODES, EVALUATION_SEED = 100, 10_000

#: Observations [W, n] -> actions [W, A].
Act = Callable[[np.ndarray], np.ndarray]


def vector_env(task: str, worlds: int) -> gymnasium.vector.SyncVectorEnv:
    mode = gymnasium.vector.AutoresetMode.SAME_STEP
    return gymnasium.vector.SyncVectorEnv(
        [lambda: gymnasium.make(task)] * worlds, autoreset_mode=mode
    )


def evaluate(task: str, act: Act, episodes: int = EVALUATION_EPISODES) -> float:
    """The mean return of `episodes` episodes, the same at every call."""
    env = vector_env(task, episodes)
    obs, _ = env.reset(seed=EVALUATION_SEED)
    total, alive = np.zeros(episodes), np.ones(episodes, bool)
    while alive.any():
        obs, reward, terminated, truncated, _ = env.step(act(obs))
        total += reward * alive
        alive &= ~(terminated | truncated)
    env.close()
    return float(total.mean())


def deterministic(algorithm: Any, learner: Any) -> Act:
    """The policy of an r2s algorithm, for `evaluate`."""
    import jax
    import jax.numpy as jnp

    policy, key = algorithm.policy(learner, deterministic=True), jax.random.key(0)
    return lambda obs: np.asarray(policy({"policy": jnp.asarray(obs)}, key))


class GymnasiumEnvironment:
    """Gymnasium's vector environments as an r2s `Environment`, driven from the host.

    Gymnasium keeps the state inside, so an older state cannot be stepped again.
    """

    def __init__(self, task: str, worlds: int, seed: int) -> None:
        from r2s_core.types import ArraySpec, EnvSpec

        self._env, self._seed = vector_env(task, worlds), seed
        space = self._env.single_action_space
        assert isinstance(space, gymnasium.spaces.Box)
        one: Any = self._env.envs[0]
        assert one.spec is not None
        self.spec = EnvSpec(
            num_worlds=worlds,
            observations={"policy": ArraySpec(self._env.single_observation_space.shape or ())},
            action_low=space.low,
            action_high=space.high,
            max_episode_steps=one.spec.max_episode_steps or 0,
            control_dt=one.unwrapped.dt,
            traceable=False,
        )

    def reset(self, key: Any) -> tuple[Any, Any]:
        obs, _ = self._env.reset(seed=self._seed)
        worlds = self.spec.num_worlds
        state = np.zeros(worlds, np.float32), np.zeros(worlds, np.int32)
        return state, {"policy": obs.astype(np.float32)}

    def step(self, state: Any, action: Any) -> tuple[Any, Any]:
        from r2s_core.types import Step

        obs, reward, terminated, truncated, info = self._env.step(np.asarray(action))
        done = terminated | truncated
        final = obs
        if done.any():
            final = obs.copy()
            final[done] = np.stack(list(info["final_obs"][done]))
        episode_return, length = state[0] + reward.astype(np.float32), state[1] + 1
        leaves_of_numpy: Any = Step
        step = leaves_of_numpy(
            obs={"policy": obs.astype(np.float32)},
            final_obs={"policy": final.astype(np.float32)},
            reward=reward.astype(np.float32),
            terms={},
            terminated=terminated,
            truncated=truncated,
            success=np.zeros_like(done),
            diverged=np.zeros_like(done),
            episode_return=episode_return,
            episode_length=length,
            metrics={},
        )
        return (np.where(done, 0, episode_return), np.where(done, 0, length)), step
