"""W worlds behind `reset` and `step` with NumPy arrays, like Gymnasium's vector environments.

The underlying environment is immutable and driven by keys; here the state and the key are kept.
"""

from __future__ import annotations

import operator
from typing import Any, SupportsIndex

import jax
import numpy as np

from r2s_core.env.spec import checked_action
from r2s_core.errors import R2SError
from r2s_core.keys import key_for
from r2s_core.numpy_env.pictures import Pictures
from r2s_core.types import Checked, Environment, EnvSpec, Named, Step

#: float32[W, n] of the group "policy", or all groups by name.
Observations = Any

LARGEST_SEED = 2**32 - 1
RENDER_MODES = ("rgb_array",)


class NumpyEnv:
    """Keeps the state of an `Environment`; its worlds reset in the step that ends their episodes.

    Arrays that it returns are new and writable. On a traceable backend a step is one compiled
    function.
    """

    def __init__(
        self,
        env: Environment[Any],
        *,
        obs_groups: bool | None = None,
        render_mode: str | None = None,
        width: int = 480,
        height: int = 360,
        camera: str | None = None,
    ) -> None:
        """Wrap an environment.

        Args:
          obs_groups: False: observe the array of the group "policy". True: a dict of all groups,
            privileged ones for training among them. None: what a policy reads, so the array, or a
            dict with its images.
          render_mode: "rgb_array", or None: no pictures.
          width, height: of pictures, pixels.
          camera: by name; default: the scene's first.

        Raises `R2SError` where the render mode is unknown or the environment cannot be rendered.
        """
        if render_mode not in (None, *RENDER_MODES):
            raise R2SError(
                f"render_mode is {render_mode!r}; use 'rgb_array', or None for no pictures"
            )
        read = env.spec.policy_groups
        if obs_groups is None and read == ("policy",):
            obs_groups = False
        #: The groups of an observation that is a dict; None: it is the array of "policy".
        self.groups: tuple[str, ...] | None = read if obs_groups is None else None
        if obs_groups:
            self.groups = tuple(env.spec.observations)
        if self.groups is None and "policy" not in env.spec.observations:
            raise R2SError(
                "obs_groups is False, but there is no group of numbers 'policy' to observe; the "
                f"environment has {', '.join(env.spec.observations)}: leave obs_groups out"
            )
        self.env, self.render_mode = env, render_mode
        self._pictures = Pictures(env, width, height, camera) if render_mode else None
        traceable = env.spec.traceable
        self._reset = jax.jit(env.reset) if traceable else env.reset
        self._step = jax.jit(env.step) if traceable else env.step
        self._state: Any = None
        self._key: Any = None
        self._episodes = np.zeros(self.num_envs, int)  # number per world, for its looks
        self._closed = False

    @property
    def spec(self) -> EnvSpec:
        """Observation groups, actions with their bounds, episode length and control period."""
        return self.env.spec

    @property
    def num_envs(self) -> int:
        return self.env.spec.num_worlds

    def reset(self, seed: SupportsIndex | None = None) -> tuple[Observations, dict[str, Any]]:
        """Start a new episode in every world: (observations, {}).

        seed: the same seed gives the same episodes under the same actions, those of
          `env.reset(jax.random.key(seed))`. None continues the random stream of the last seed, or
          seeds from the system's entropy where there was none.

        Raises `R2SError` where the seed is not a whole number from 0 to 2^32 - 1.
        """
        self._refuse_closed()
        if seed is None and self._key is not None:
            self._key, key = jax.random.split(self._key)
        else:
            entropy = np.random.SeedSequence().generate_state(1)[0]
            number = int(entropy) if seed is None else _checked_seed(seed)
            key, self._key = jax.random.key(number), key_for(number, "later resets")
        self._state, obs = self._reset(key)
        self._episodes += 1
        return self._observed(obs), {}

    def step(
        self, action: Any
    ) -> tuple[Observations, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One control step of every world: (obs, reward, terminated, truncated, info).

        Args:
          action: [W, A]; clipped to the bounds of `spec`.

        Returns:
          obs: of the new episode where `terminated | truncated`.
          reward: float32[W]. terminated, truncated: bool[W], never both.
          info: "success", bool[W]: the episode would count as one if it ended now, and
            "diverged", bool[W]: the physics failed. Where an episode ended in any world, also
            "final_obs": like obs, but before any reset, and "final_info": of the episodes that
            ended, and meaningless in other worlds, "success", "diverged", "episode"
            ("r": float32[W], "l": int32[W]), "metrics" (the task's, float32[W] each) and "variant"
            (int[W], where the scene has variants).

        Raises `R2SError` where the action is of another shape or not finite, before the first
        `reset`, after `close`, and where the backend reports an error.
        """
        self._refuse_closed()
        if self._state is None:
            raise R2SError("reset() starts the worlds; call it before step()")
        action = _finite(checked_action(action, self.spec))
        self._state, step = self._step(self._state, action)
        obs = self._observed(step.obs)
        flags = (step.reward, step.terminated, step.truncated, step.success, step.diverged)
        reward, terminated, truncated, success, diverged = map(np.array, flags)
        info: dict[str, Any] = {"success": success, "diverged": diverged}
        done = terminated | truncated
        if done.any():
            if isinstance(self.env, Checked):
                self.env.check()
            self._episodes += done
            info["final_obs"] = self._observed(step.final_obs)
            info["final_info"] = _final_info(step)
        return obs, reward, terminated, truncated, info

    def render(self) -> np.ndarray | None:
        """uint8[W, height, width, 3] of all worlds' current states; None without a render mode.

        Raises `R2SError` before the first `reset`, and where this machine cannot render.
        """
        self._refuse_closed()
        if self._pictures is None:
            return None
        if self._state is None:
            raise R2SError("reset() starts the worlds; call it before render()")
        return self._pictures.draw(self._state, self._episodes)

    def close(self) -> None:
        """Stop the renderer and release the worlds; closing again does nothing."""
        if self._pictures is not None:
            self._pictures.close()
        self._state, self._closed = None, True

    def _observed(self, obs: Named) -> Observations:
        if self.groups is None:
            return np.array(obs["policy"])
        chosen = {name: obs[name] for name in self.groups}
        return {name: np.array(group) for name, group in jax.device_get(chosen).items()}

    def _refuse_closed(self) -> None:
        if self._closed:
            raise R2SError("the environment is closed; make another")


def _final_info(step: Step) -> dict[str, Any]:
    """The outcomes of ended episodes, on the host."""
    info: dict[str, Any] = {
        "success": step.success,
        "diverged": step.diverged,
        "episode": {"r": step.episode_return, "l": step.episode_length},
        "metrics": dict(step.metrics),
    }
    if step.variant is not None:
        info["variant"] = step.variant
    return jax.tree.map(np.array, jax.device_get(info))


def _finite(action: Any) -> Any:
    """As float32; raises `R2SError` where a number is not finite, so that physics would diverge."""
    given = np.asarray(action)
    with np.errstate(over="ignore"):
        action = given.astype(np.float32)
    if not np.isfinite(action).all():
        world, number = np.argwhere(~np.isfinite(action))[0]
        raise R2SError(
            f"the action of world {world} is {given[world, number]} at index {number}; "
            "it must be finite as float32"
        )
    return action


def _checked_seed(seed: Any) -> int:
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if isinstance(seed, bool) or not 0 <= number <= LARGEST_SEED:
        raise R2SError(
            f"the seed is {seed!r}; it must be one whole number, from 0 to {LARGEST_SEED}, for all "
            "worlds together"
        )
    return number
