"""Builders that the manifests and users name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from r2s_core.errors import AssetError
from r2s_envs_objects import ObjectOptions, load_object
from r2s_envs_pick_place.config import PickPlaceConfig
from r2s_envs_pick_place.pick_object import PickObject
from r2s_envs_pick_place.task import PickPlace

_SUFFIXES = (".stl", ".obj", ".ply")


def make(config: PickPlaceConfig) -> PickPlace:
    """The task on the configured objects, each in each of its sizes.

    Raises AssetError where an object is refused, or is both trained on and held out.
    """
    sources: Sequence[str | Path] = config.objects
    if config.reconstructed_objects_dir is not None:
        sources = scans_in(config.reconstructed_objects_dir)
    held_out = [s for s in config.held_out_objects if str(s) not in set(map(str, sources))]
    if both := [s for s in config.held_out_objects if s not in held_out]:
        raise AssetError(
            f"{both[0]} is held out and trained on; drop it from environment.objects or from "
            "environment.held_out_objects"
        )
    if not sources:
        raise AssetError("there is nothing to pick up; name a scan under environment.objects")
    things = [_load(s, config, held_out=False) for s in sources]
    things += [_load(s, config, held_out=True) for s in held_out]
    return PickPlace(config, *_in_all_sizes(_apart(things, [*sources, *held_out]), config))


def _load(source: str | Path, config: PickPlaceConfig, held_out: bool) -> PickObject:
    return PickObject.from_asset(load_object(source, _options(config)), held_out)


def _apart(things: list[PickObject], sources: list[str | Path]) -> list[PickObject]:
    """Things of one name get that of their file, so that results can be told apart."""
    count = Counter(thing.shape.name for thing in things)
    return [
        thing if count[thing.shape.name] == 1 else thing.named(str(source))
        for thing, source in zip(things, sources, strict=True)
    ]


def _in_all_sizes(things: list[PickObject], config: PickPlaceConfig) -> list[PickObject]:
    if config.object_scales == (1.0,):
        return things
    if not config.object_scales or min(config.object_scales) <= 0:
        raise AssetError(
            f"environment.object_scales is {list(config.object_scales)}; give factors above zero"
        )
    return [thing.scaled(factor) for thing in things for factor in config.object_scales]


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
        force=config.force,
    )
