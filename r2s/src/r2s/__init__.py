"""r2s from Python, NumPy in and NumPy out: `load` a trained policy, `make` an environment.

policy = r2s.load("runs/quickstart")
env = r2s.make("quickstart", num_envs=16)
obs, info = env.reset(seed=0)
obs, reward, terminated, truncated, info = env.step(policy(obs))

Importing this imports neither JAX nor MuJoCo; `make` does. To train, use `r2s run` or
`r2s_core.Real2SimTrainer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from r2s_core.errors import R2SError
from r2s_core.policy.saved import load_policy as load

if TYPE_CHECKING:
    from r2s_core.numpy_env import NumpyEnv, make

__all__ = ["NumpyEnv", "R2SError", "load", "make"]


def __getattr__(name: str) -> Any:
    if name in ("NumpyEnv", "make"):
        from r2s_core import numpy_env

        return getattr(numpy_env, name)
    raise AttributeError(f"module 'r2s' has no attribute {name!r}")
