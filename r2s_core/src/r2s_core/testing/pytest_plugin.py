"""The kit as a pytest plugin, active wherever r2s-core is installed; imports nothing heavy.

def test_conformance(registry):
    check_reward(lambda: registry.build("reward", "my_reward", MyConfig()))
"""

from __future__ import annotations

from types import ModuleType

import pytest


@pytest.fixture
def registry() -> ModuleType:
    """The plugin registry, `r2s_core.registry`, to build plugins as users get them."""
    from r2s_core import registry

    return registry
