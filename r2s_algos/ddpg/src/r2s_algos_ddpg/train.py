"""DDPG and TD3 as `r2s_core.types.Algorithm`."""

from __future__ import annotations

from typing import Any

from r2s_algos_common.checks import critic_groups
from r2s_algos_common.off_policy.algorithm import OffPolicy
from r2s_algos_ddpg.config import DDPGConfig
from r2s_algos_ddpg.learn import DDPG, Networks
from r2s_core.types import Environment


def make(env: Environment[Any], config: DDPGConfig) -> OffPolicy[Networks]:
    """The plugin's builder."""
    groups = critic_groups(env.spec, config.critic_observations, "ddpg")
    return OffPolicy(env, config, DDPG(env.spec, config, groups), "ddpg", groups)
