"""Configurations as dotted keys, for comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings flattened to dotted keys: {"a": {"b": 1}} -> {"a.b": 1}."""
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    flattened: dict[str, Any] = {}
    for key, value in tree.items():
        flattened |= flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flattened


def differing(*configs: Mapping[str, Any]) -> list[str]:
    """The dotted keys whose values differ among `flat` configurations, sorted."""
    first, keys = configs[0], sorted(set().union(*configs))
    return [key for key in keys if any(c.get(key) != first.get(key) for c in configs)]
