"""DDPG keeps the contract that every algorithm is held to."""

import dataclasses

from r2s_algos_ddpg.plugin import PLUGIN
from r2s_core.testing import check_algorithm


def test_conformance(registry):
    small = {"hidden_sizes": (32,), "update_to_data_ratio": 4, "buffer_size": 20_000} | {
        "num_atoms": 11
    }
    config = dataclasses.replace(PLUGIN.config(), **small)
    check_algorithm(lambda env: registry.build("algorithm", "ddpg", env, config), 20_000)
