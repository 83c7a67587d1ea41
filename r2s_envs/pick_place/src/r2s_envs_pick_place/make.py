"""Builders that the manifests and users name."""

from __future__ import annotations

from pathlib import Path

from r2s_core.errors import AssetError
from r2s_envs_objects import ObjectOptions, load_object
from r2s_envs_pick_place.config import PickPlaceConfig
from r2s_envs_pick_place.pick_object import PickObject
from r2s_envs_pick_place.task import PickPlace

_SUFFIXES = (".stl", ".obj", ".ply")


def make(config: PickPlaceConfig) -> PickPlace:
    """The task on the configured object.

    Raises AssetError where the object is refused, or more than one is named.
    """
    return PickPlace(config, PickObject.from_asset(load_object(_source(config), _options(config))))


def _source(config: PickPlaceConfig) -> str | Path:
    sources = list(config.objects)
    if config.reconstructed_objects_dir is not None:
        sources = scans_in(config.reconstructed_objects_dir)
    if len(sources) != 1:
        raise AssetError(
            f"{len(sources)} objects are named ({', '.join(str(s) for s in sources[:5])}), but a "
            "policy is trained on one object at a time; name one under environment.objects"
        )
    return sources[0]


def scans_in(folder: Path) -> list[Path]:
    """The scanned meshes of a folder, sorted; raises AssetError if there are none."""
    if not folder.is_dir():
        raise AssetError(f"{folder}: no such folder (environment.reconstructed_objects_dir)")
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES)
    if not found:
        raise AssetError(f"{folder}: no scans in it; put STL, OBJ or PLY files there")
    return found


def _options(config: PickPlaceConfig) -> ObjectOptions:
    return ObjectOptions(
        units=config.object_units,
        scale=config.object_scale,
        mass=config.object_mass,
        max_hull_vertices=config.max_hull_vertices,
        max_pieces=config.max_pieces,
    )
