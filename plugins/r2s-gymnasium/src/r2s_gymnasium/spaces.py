"""Gymnasium's spaces of an environment's spec."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, SupportsIndex

import numpy as np
from gymnasium import spaces

from r2s_core.errors import R2SError
from r2s_core.types import ArraySpec, EnvSpec


def action_space(spec: EnvSpec) -> spaces.Box:
    """float32[A] between the environment's bounds."""
    low, high = (np.asarray(x, np.float32) for x in (spec.action_low, spec.action_high))
    return spaces.Box(low, high, dtype=np.float32)


def observation_space(spec: EnvSpec, groups: tuple[str, ...] | None) -> spaces.Box | spaces.Dict:
    """A Dict of these groups: float32[n] without bounds, or images; None: the group "policy"."""
    if groups is None:
        return _box(spec.observations["policy"])
    return spaces.Dict({name: _box(spec.observations[name]) for name in groups})


def plain_seed(seed: SupportsIndex | None) -> int | None:
    """As Gymnasium takes it, which refuses NumPy's whole numbers."""
    return None if seed is None else operator.index(seed)


def refuse_options(options: Mapping[str, Any] | None) -> None:
    """Raises `R2SError` where `reset` was given options, none of which an environment has."""
    if options:
        raise R2SError(
            f"reset takes no options (got {', '.join(map(str, options))}); worlds whose episodes "
            "end reset by themselves"
        )


def _box(group: ArraySpec) -> spaces.Box:
    if group.is_image:
        dtype = np.dtype(group.dtype).type
        return spaces.Box(0, np.iinfo(dtype).max, group.shape, dtype)
    return spaces.Box(-np.inf, np.inf, group.shape, np.float32)
