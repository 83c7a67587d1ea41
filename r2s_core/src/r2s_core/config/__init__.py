"""The configuration of a run: YAML in, frozen and checked dataclasses out."""

from r2s_core.config.load import load_config, load_mapping
from r2s_core.config.schema import (
    DemonstrationsConfig,
    EngineConfig,
    EnvironmentConfig,
    EvaluationConfig,
    GrowthConfig,
    PhysicsConfig,
    RewardTerm,
    RunConfig,
    TrainingConfig,
    Use,
    to_plain,
)

__all__ = [
    "DemonstrationsConfig",
    "EngineConfig",
    "EnvironmentConfig",
    "EvaluationConfig",
    "GrowthConfig",
    "PhysicsConfig",
    "RewardTerm",
    "RunConfig",
    "TrainingConfig",
    "Use",
    "load_config",
    "load_mapping",
    "to_plain",
]
