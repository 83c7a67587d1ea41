"""The manifest of behaviour cloning and DAgger."""

from r2s_algos_bc.config import BCConfig
from r2s_core.plugin import Plugin

PLUGIN = Plugin(
    name="bc",
    kind="algorithm",
    summary="Behaviour cloning and DAgger in pure JAX",
    target="r2s_algos_bc.train:make",
    config=BCConfig,
)
