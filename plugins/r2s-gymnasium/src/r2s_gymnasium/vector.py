"""W worlds as Gymnasium's vector environment, reset in the step that ends their episodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector import VectorEnv as GymnasiumVectorEnv
from gymnasium.vector.utils import batch_space

from r2s_core.numpy_env import make
from r2s_core.numpy_env.env import RENDER_MODES
from r2s_gymnasium.spaces import action_space, observation_space, plain_seed, refuse_options


class VectorEnv(GymnasiumVectorEnv[Any, Any, np.ndarray]):
    """What `gymnasium.make_vec("r2s/PickPlace-v0", num_envs=64)` gives.

    Observations are float32[W, n], of the group "policy"; a dict of all groups with
    `obs_groups=True`, or where a policy sees images. One seed is for all worlds together.

    `info` is as that of Gymnasium's own environments of `AutoresetMode.SAME_STEP`: `final_obs` and
    `final_info` under the masks `_final_obs` and `_final_info` where episodes ended, `success` and
    `diverged` under theirs elsewhere. `final_info` has what `NumpyEnv.step` says: `success`,
    `diverged`, `episode`, `metrics`, and `variant` of scenes that have some.
    """

    def __init__(self, num_envs: int = 1, *, config: Any, **options: Any) -> None:
        """config, options: as of `r2s_core.numpy_env.make`; raises `R2SError` as that does."""
        self.env = make(config, num_envs, **options)
        spec, self.num_envs, self.render_mode = self.env.spec, num_envs, self.env.render_mode
        self.metadata = {
            "autoreset_mode": AutoresetMode.SAME_STEP,
            "render_modes": list(RENDER_MODES),
            "render_fps": 1.0 / spec.control_dt,
        }
        self.single_action_space = action_space(spec)
        self.single_observation_space = observation_space(spec, self.env.groups)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start every world afresh; see `NumpyEnv.reset`. There are no options."""
        refuse_options(options)
        start = self.env.reset(seed)
        super().reset(seed=plain_seed(seed))
        return start

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One control step under actions [W, A]; raises `R2SError` as `NumpyEnv.step` does."""
        obs, reward, terminated, truncated, found = self.env.step(actions)
        done = terminated | truncated
        final_obs, final_info = found.pop("final_obs", None), found.pop("final_info", None)
        info = {} if done.all() else _under_masks(found, ~done)
        if final_info is not None:
            info["final_obs"], info["_final_obs"] = _rows(final_obs, done), done.copy()
            info["final_info"] = _under_masks(final_info, done)
            info["_final_info"] = done.copy()
        return obs, reward, terminated, truncated, info

    def render(self) -> tuple[np.ndarray, ...] | None:
        """uint8[height, width, 3] of each world; None without a render mode."""
        frames = self.env.render()
        return None if frames is None else tuple(frames)

    def close_extras(self, **kwargs: Any) -> None:
        """End the renderer."""
        self.env.close()


def _under_masks(info: Mapping[str, Any], mask: np.ndarray) -> dict[str, Any]:
    """Arrays [W] with a mask beside each, and zeros where that is False."""
    masked: dict[str, Any] = {}
    for name, value in info.items():
        if isinstance(value, Mapping):
            masked[name] = _under_masks(value, mask)
        else:
            masked[name] = np.where(mask, value, np.zeros((), value.dtype))
        masked[f"_{name}"] = mask.copy()
    return masked


def _rows(obs: Any, mask: np.ndarray) -> np.ndarray:
    """object[W]: each world's own observation under the mask, None elsewhere."""
    rows = np.full(len(mask), None, object)
    for world in np.flatnonzero(mask):
        is_groups = isinstance(obs, Mapping)
        rows[world] = {n: x[world] for n, x in obs.items()} if is_groups else obs[world]
    return rows
