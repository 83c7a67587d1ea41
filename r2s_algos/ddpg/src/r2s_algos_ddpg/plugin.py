"""The manifest of DDPG."""

from r2s_algos_ddpg.config import DDPGConfig
from r2s_core.plugin import Plugin

PLUGIN = Plugin(
    name="ddpg",
    kind="algorithm",
    summary="DDPG, and TD3 by its options, in pure JAX",
    target="r2s_algos_ddpg.train:make",
    config=DDPGConfig,
)
