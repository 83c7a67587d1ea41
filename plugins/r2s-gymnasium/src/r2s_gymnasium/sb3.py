"""W worlds as Stable-Baselines3's vector environment: `pip install "r2s-gymnasium[sb3]"`.

from stable_baselines3 import PPO
from r2s_gymnasium.sb3 import SB3VecEnv

PPO("MlpPolicy", SB3VecEnv("quickstart", num_envs=64, training=True)).learn(1_000_000)
"""

# Stable-Baselines3 brings PyTorch, so the development environment does not have it.
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from r2s_core.errors import R2SError
from r2s_core.numpy_env import make
from r2s_gymnasium.spaces import action_space, observation_space

#: Which worlds: all, one, or some.
Indices = int | Iterable[int] | None


class SB3VecEnv(VecEnv):
    """A Stable-Baselines3 `VecEnv` that steps all worlds at once.

    In the step that ends a world's episode, its info has `terminal_observation`,
    `TimeLimit.truncated` (True: bootstrap), `episode` (`r`, `l`; no `Monitor` is needed),
    `is_success`, `diverged` and the task's `metrics`; in other steps it is empty.
    """

    def __init__(self, config: Any, num_envs: int = 1, **options: Any) -> None:
        """config, options: as of `r2s_core.numpy_env.make`; raises `R2SError` as that does."""
        self.env = make(config, num_envs, **options)
        spec = self.env.spec
        self._actions: Any = None
        super().__init__(num_envs, observation_space(spec, self.env.groups), action_space(spec))
        self.metadata["render_fps"] = 1.0 / spec.control_dt

    def reset(self) -> Any:
        """The first observations [W, ...]; `seed` before it decides the episodes."""
        obs, _ = self.env.reset(self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        return obs

    def step_async(self, actions: np.ndarray) -> None:
        """Take actions [W, A] for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """(obs, reward float32[W], done bool[W], infos) of one control step."""
        obs, reward, terminated, truncated, info = self.env.step(self._actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        done = terminated | truncated
        for world in np.flatnonzero(done).tolist():
            infos[world] = _of_ended(info, world, bool(truncated[world]))
        return obs, reward, done, infos

    def close(self) -> None:
        """End the renderer."""
        self.env.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """uint8[height, width, 3] of each world."""
        frames = self.env.render()
        return [None] * self.num_envs if frames is None else list(frames)

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """An attribute of the `NumpyEnv`, once for each world asked for."""
        return [getattr(self.env, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Refused: the worlds have no attributes of their own."""
        raise R2SError(f"{attr_name} cannot be set: the worlds are stepped as one")

    def env_method(
        self, method_name: str, *method_args: Any, indices: Indices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Refused: the worlds have no methods of their own."""
        raise R2SError(f"{method_name} cannot be called: the worlds are stepped as one")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Indices = None) -> list[bool]:
        """True for `Monitor`, since infos tell of episodes what that would."""
        return [issubclass(wrapper_class, Monitor) for _ in self._get_indices(indices)]


def _of_ended(info: dict[str, Any], world: int, truncated: bool) -> dict[str, Any]:
    """What Stable-Baselines3 is told of one world whose episode ended."""
    obs, final = info["final_obs"], info["final_info"]
    return {
        "terminal_observation": (
            {name: group[world] for name, group in obs.items()}
            if isinstance(obs, dict)
            else obs[world]
        ),
        "TimeLimit.truncated": truncated,
        "episode": {
            "r": float(final["episode"]["r"][world]),
            "l": int(final["episode"]["l"][world]),
        },
        "is_success": bool(final["success"][world]),
        "diverged": bool(final["diverged"][world]),
        "metrics": {name: float(value[world]) for name, value in final["metrics"].items()},
    }
