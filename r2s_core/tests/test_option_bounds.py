"""No option of what is shipped can ask for more than a machine could have."""

import dataclasses
import types
import typing

import pytest

from r2s_core import registry
from r2s_core.config import schema
from r2s_core.config.convert import field_types
from r2s_core.plugin import GROUPS

_SECTIONS = (schema.EngineConfig, schema.TrainingConfig, schema.EvaluationConfig)


def _shipped() -> list[type]:
    entries = [entry for kind in GROUPS for entry in registry.discover(kind)]
    ours = [e for e in entries if e.dist.startswith("r2s-") and e.kind != "command"]
    configs = {registry.load_manifest(entry).plugin.config for entry in ours}
    return [*_SECTIONS, *sorted(configs, key=lambda config: config.__name__)]


def _counts(kind: object) -> bool:
    """Whether the type holds whole numbers."""
    members = typing.get_args(kind)
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) in (typing.Union, tuple):
        return any(_counts(member) for member in members)
    return kind is int


@pytest.mark.parametrize("config", _shipped(), ids=lambda config: config.__name__)
def test_every_whole_number_has_a_limit(config):
    """A thousand million worlds, steps or units end in an allocation that kills the process."""
    hints = field_types(config)
    unlimited = [
        field.name
        for field in dataclasses.fields(config)
        if _counts(hints[field.name]) and not {"maximum", "below"} & set(field.metadata)
    ]
    assert unlimited == []
