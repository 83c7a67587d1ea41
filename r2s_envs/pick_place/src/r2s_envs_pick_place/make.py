"""Builders that the manifests and users name."""

from __future__ import annotations

import functools
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from r2s_core.errors import AssetError
from r2s_envs_objects import NotGraspableError, ObjectOptions, load_object, objects_in
from r2s_envs_pick_place.config import PickPlaceConfig
from r2s_envs_pick_place.pick_object import PickObject
from r2s_envs_pick_place.task import PickPlace

_SUFFIXES = (".stl", ".obj", ".ply")


def make(config: PickPlaceConfig) -> PickPlace:
    """The task on the configured objects, each in each of its sizes.

    Raises AssetError where an object is refused, or is both trained on and held out.
    """
    seen = _all_of(config) if config.reconstructed_objects_dir is None else _library(config)
    sources = [thing.source for thing in seen]
    if both := [s for s in config.held_out_objects if str(s) in map(str, sources)]:
        raise AssetError(
            f"{both[0]} is held out and trained on; drop it from environment.objects or from "
            "environment.held_out_objects"
        )
    unseen = [_load(source, config, held_out=True) for source in config.held_out_objects]
    things = _in_all_sizes(_apart([*seen, *unseen]), config)
    if config.object_poses == "any":
        things = [lying for thing in things for lying in thing.in_all_poses()]
    return PickPlace(config, *things)


class _Named(NamedTuple):
    source: str | Path
    thing: PickObject


def _all_of(config: PickPlaceConfig) -> list[_Named]:
    if not config.objects:
        raise AssetError("there is nothing to pick up; name a scan under environment.objects")
    return [_load(source, config, held_out=False) for source in config.objects]


def _library(config: PickPlaceConfig) -> list[_Named]:
    """The objects of a folder; those that the gripper cannot hold are left out, aloud."""
    assert config.reconstructed_objects_dir is not None
    found, left_out = [], []
    for source in scans_in(config.reconstructed_objects_dir):
        try:
            found.append(_load(source, config, held_out=False))
        except NotGraspableError as error:
            left_out.append(str(error))
    if not found:
        raise AssetError(
            f"{config.reconstructed_objects_dir}: nothing in it can be held by this gripper; "
            f"{left_out[0]}"
        )
    for line in left_out:
        _say_once(f"left out: {line}")
    return found


@functools.cache  # a run makes the task twice: to train, and to evaluate
def _say_once(line: str) -> None:
    print(line, file=sys.stderr)


def _load(source: str | Path, config: PickPlaceConfig, held_out: bool) -> _Named:
    return _Named(source, PickObject.from_asset(load_object(source, _options(config)), held_out))


def _apart(things: list[_Named]) -> list[PickObject]:
    """Things of one name get that of their file, so that results can be told apart."""
    count = Counter(thing.shape.name for _, thing in things)
    return [
        thing if count[thing.shape.name] == 1 else thing.named(str(source))
        for source, thing in things
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
    """The prepared objects and scanned meshes of a folder; raises AssetError if there are none."""
    if not folder.is_dir():
        raise AssetError(f"{folder}: no such folder (environment.reconstructed_objects_dir)")
    found = objects_in(folder)
    found += sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES)
    if not found:
        raise AssetError(
            f"{folder}: no scans and no objects in it; put STL, OBJ or PLY files there, or what "
            "`r2s object library` made"
        )
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
