"""The conformance kit: what every plugin, ours included, must pass.

    from r2s_core.testing import check_reward

    def test_it_keeps_the_contract(registry):        # a fixture of the pytest plugin
        check_reward(registry.build("reward", "my_reward", MyConfig()))

The checks are imported lazily, since pytest loads this package in every session.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from r2s_core.testing.algorithm_kit import check_algorithm
    from r2s_core.testing.backend_kit import check_backend
    from r2s_core.testing.environment_kit import check_environment
    from r2s_core.testing.hook_kit import check_hook
    from r2s_core.testing.randomizer_kit import build_randomizer, check_randomizer
    from r2s_core.testing.renderer_kit import check_renderer
    from r2s_core.testing.reward_kit import check_reward
    from r2s_core.testing.robot_kit import check_robot

__all__ = [
    "build_randomizer",
    "check_algorithm",
    "check_backend",
    "check_environment",
    "check_hook",
    "check_randomizer",
    "check_renderer",
    "check_reward",
    "check_robot",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"r2s_core.testing.{name.partition('_')[2]}_kit")
    return getattr(module, name)
