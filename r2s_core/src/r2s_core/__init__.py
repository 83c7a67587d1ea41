"""The core of r2s: contracts, plugin registry, configuration, command line, engine and backends.

Importing it is cheap; JAX and MuJoCo are imported when `Real2SimTrainer` is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from r2s_core.rendering import gl_environment

if TYPE_CHECKING:
    from r2s_core.training.trainer import Real2SimTrainer

__all__ = ["Real2SimTrainer"]

gl_environment.settle()  # before MuJoCo is imported, which our other packages do


def __getattr__(name: str) -> Any:
    if name == "Real2SimTrainer":
        from r2s_core.training.trainer import Real2SimTrainer

        return Real2SimTrainer
    raise AttributeError(f"module 'r2s_core' has no attribute {name!r}")
