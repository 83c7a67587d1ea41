"""The environments of r2s for Gymnasium; importing this registers them.

import gymnasium, r2s_gymnasium
envs = gymnasium.make_vec("r2s/PickPlace-v0", num_envs=64)

Without the import: `gymnasium.make_vec("r2s_gymnasium:r2s/PickPlace-v0", ...)`. JAX and MuJoCo come
in with the first environment. `r2s_gymnasium.sb3` is for Stable-Baselines3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from r2s_gymnasium.registration import register_installed

if TYPE_CHECKING:
    from r2s_gymnasium.single import Env
    from r2s_gymnasium.vector import VectorEnv

__all__ = ["Env", "VectorEnv", "make", "make_vec"]

register_installed()


def make_vec(config: Any, num_envs: int = 1, **options: Any) -> VectorEnv:
    """A `gymnasium.vector.VectorEnv` of any configuration or installed environment.

    config, options: as of `r2s_core.numpy_env.make`. Raises `R2SError` as that does.
    """
    from r2s_gymnasium.vector import VectorEnv

    return VectorEnv(num_envs, config=config, **options)


def make(config: Any, **options: Any) -> Env:
    """A `gymnasium.Env`, one world, of any configuration or installed environment.

    config, options: as of `r2s_core.numpy_env.make`. Raises `R2SError` as that does.
    """
    from r2s_gymnasium.single import Env

    return Env(config, **options)


def __getattr__(name: str) -> Any:
    if name == "Env":
        from r2s_gymnasium.single import Env

        return Env
    if name == "VectorEnv":
        from r2s_gymnasium.vector import VectorEnv

        return VectorEnv
    raise AttributeError(f"module 'r2s_gymnasium' has no attribute {name!r}")
