"""Soft actor-critic as `r2s_core.types.Algorithm`."""

from __future__ import annotations

from typing import Any

from r2s_algos_common.checks import critic_groups
from r2s_algos_common.off_policy.algorithm import OffPolicy
from r2s_algos_sac.config import SACConfig
from r2s_algos_sac.learn import SAC, Networks
from r2s_core.types import Environment


def make(env: Environment[Any], config: SACConfig) -> OffPolicy[Networks]:
    """The plugin's builder."""
    groups = critic_groups(env.spec, config.critic_observations, "sac")
    return OffPolicy(env, config, SAC(env.spec, config, groups), "sac", groups)
