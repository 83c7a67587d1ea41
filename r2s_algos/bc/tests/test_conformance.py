"""Behaviour cloning keeps the contract that every algorithm is held to."""

import dataclasses

from r2s_algos_bc.plugin import PLUGIN
from r2s_core.testing import check_algorithm


def test_conformance(registry):
    small = {"hidden_sizes": (32,), "batch_size": 256, "total_timesteps": 20_000}
    config = dataclasses.replace(PLUGIN.config(), **small)
    check_algorithm(lambda env: registry.build("algorithm", "bc", env, config), 20_000, expert=True)
