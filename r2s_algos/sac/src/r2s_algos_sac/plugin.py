"""The manifest of SAC."""

from r2s_algos_sac.config import SACConfig
from r2s_core.plugin import Plugin

PLUGIN = Plugin(
    name="sac",
    kind="algorithm",
    summary="Soft actor-critic in pure JAX",
    target="r2s_algos_sac.train:make",
    config=SACConfig,
)
