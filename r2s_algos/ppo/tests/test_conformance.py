"""PPO keeps the contract that every algorithm is held to."""

import dataclasses

from r2s_algos_ppo.plugin import PLUGIN
from r2s_core.testing import check_algorithm


def test_conformance(registry):
    config = dataclasses.replace(PLUGIN.config(), hidden_sizes=(32,))
    check_algorithm(lambda env: registry.build("algorithm", "ppo", env, config))
