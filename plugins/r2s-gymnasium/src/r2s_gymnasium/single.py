"""One world as Gymnasium's environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np

from r2s_core.numpy_env import make
from r2s_core.numpy_env.env import RENDER_MODES
from r2s_gymnasium.spaces import action_space, observation_space, plain_seed, refuse_options


class Env(gymnasium.Env[Any, Any]):
    """What `gymnasium.make("r2s/PickPlace-v0")` gives; for many worlds `VectorEnv` is faster.

    Observations are float32[n], of the group "policy"; a dict of all groups with
    `obs_groups=True`. `info` has `success` and `diverged`, and `metrics` where the episode ends.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": list(RENDER_MODES)}

    def __init__(self, config: Any, **options: Any) -> None:
        """config, options: as of `r2s_core.numpy_env.make`; raises `R2SError` as that does."""
        self.env = make(config, 1, **options)
        spec, self.render_mode = self.env.spec, self.env.render_mode
        self.metadata = {**type(self).metadata, "render_fps": 1.0 / spec.control_dt}  # type: ignore[misc]
        self.action_space = action_space(spec)
        self.observation_space = observation_space(spec, self.env.groups)
        self._next_start: Any = None  # the world has reset itself: the next episode's observation
        self._frame: np.ndarray | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; see `NumpyEnv.reset`. There are no options."""
        refuse_options(options)
        start, self._next_start, self._frame = self._next_start, None, None
        if seed is not None or start is None:
            start = _of_one_world(self.env.reset(seed)[0])
        super().reset(seed=plain_seed(seed))
        return start, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One control step under an action [A]; raises `R2SError` as `NumpyEnv.step` does."""
        obs, reward, terminated, truncated, info = self.env.step(np.asarray(action)[None])
        obs, info = _of_one_world(obs), _of_one_world(info)
        if "final_obs" in info:
            self._next_start, obs = obs, info.pop("final_obs")
            info["metrics"] = info.pop("final_info")["metrics"]
        return obs, float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """uint8[height, width, 3]; None without a render mode.

        Of an episode that has ended, the frame drawn before its last step: the world has been
        reset since.
        """
        if self._next_start is None or self._frame is None:
            frames = self.env.render()
            self._frame = None if frames is None else frames[0]
        return self._frame

    def close(self) -> None:
        """End the renderer."""
        self.env.close()


def _of_one_world(values: Any) -> Any:
    """What arrays [1, ...] say of their one world; Python's own numbers for scalars."""
    if isinstance(values, Mapping):
        return {name: _of_one_world(value) for name, value in values.items()}
    return values[0].item() if values.ndim == 1 else values[0]
