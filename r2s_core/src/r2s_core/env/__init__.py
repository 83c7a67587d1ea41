"""The environment engine: W worlds of a task, randomized, with curricula and start states."""

from r2s_core.env.vector_env import EngineOptions, VectorEnv

__all__ = ["EngineOptions", "VectorEnv"]
