"""The manifest of PPO."""

from r2s_algos_ppo.config import PPOConfig
from r2s_core.plugin import Plugin

PLUGIN = Plugin(
    name="ppo",
    kind="algorithm",
    summary="Proximal policy optimisation in pure JAX",
    target="r2s_algos_ppo.train:make",
    config=PPOConfig,
)
