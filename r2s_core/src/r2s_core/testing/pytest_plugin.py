"""The kit as a pytest plugin (it is there wherever r2s-core is installed); light.

def test_conformance(registry):
    check_reward(lambda: registry.build("reward", "my_reward", MyConfig()))
"""

from __future__ import annotations

from types import ModuleType

import pytest


@pytest.fixture
def registry() -> ModuleType:
    """The plugin registry, `r2s_core.registry`: build what is tested as a user would get it."""
    from r2s_core import registry

    return registry
