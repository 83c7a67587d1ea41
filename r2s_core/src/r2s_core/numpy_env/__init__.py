"""Environments with a NumPy interface: `make` builds one, `NumpyEnv` drives it."""

from r2s_core.numpy_env.env import NumpyEnv
from r2s_core.numpy_env.make import make

__all__ = ["NumpyEnv", "make"]
