"""What each object weighs: `object_masses`, else its certificate, `object_mass`, or a guess."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from r2s_core.system.text import say_once
from r2s_envs_objects import ObjectAsset, ObjectOptions, load_object
from r2s_envs_objects.store.prepared import prepared_file
from r2s_envs_pick_place.config import PickPlaceConfig


def weighed(source: str | Path, options: ObjectOptions, config: PickPlaceConfig) -> ObjectAsset:
    """The object with its mass; overriding a certified mass, or keeping it, is reported."""
    stated = _stated(source, config)
    if prepared_file(source) is None:
        return load_object(source, dataclasses.replace(options, mass=stated or config.object_mass))
    asset = load_object(source, options)
    if stated and not math.isclose(stated, asset.mass):
        say_once(
            f"{source}: {stated:g} kg from environment.object_masses overrides the "
            f"{asset.mass:.3g} kg with which it was prepared"
        )
        return load_object(source, dataclasses.replace(options, mass=stated))
    if not stated and config.object_mass and not math.isclose(config.object_mass, asset.mass):
        say_once(
            f"{source}: keeps the {asset.mass:.3g} kg with which it was prepared; "
            f"environment.object_mass ({config.object_mass:g} kg) only applies to objects without "
            "a mass of their own; use environment.object_masses to override it"
        )
    return asset


def report_unused(config: PickPlaceConfig, sources: Sequence[str | Path]) -> None:
    """Report the names in `object_masses` that match none of the objects."""
    for name in config.object_masses:
        if not any(_is_called(source, name) for source in sources):
            say_once(f"environment.object_masses: {name} is none of the objects here; ignored")


def _stated(source: str | Path, config: PickPlaceConfig) -> float | None:
    for name, mass in config.object_masses.items():
        if _is_called(source, name):
            return mass
    return None


def _is_called(source: str | Path, name: str) -> bool:
    """Whether `name` means this source: as it is written, or the end of its path."""
    if str(source) == name:
        return True
    parts, end = Path(source).parts, Path(name).parts
    return isinstance(source, Path) and bool(end) and parts[-len(end) :] == end
