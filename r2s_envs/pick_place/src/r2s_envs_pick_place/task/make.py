"""Builders that manifests and users call."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from r2s_core.errors import AssetError
from r2s_core.record.inputs import Keep
from r2s_core.system.text import say_once
from r2s_envs_objects import NotGraspableError, ObjectAsset, ObjectOptions, objects_in
from r2s_envs_objects.options import respelled
from r2s_envs_objects.store.prepared import asset_bytes, source_file
from r2s_envs_pick_place.config import PickPlaceConfig
from r2s_envs_pick_place.scene.build import SceneOptions
from r2s_envs_pick_place.scene.pick_object import PickObject
from r2s_envs_pick_place.task.masses import report_unused, weighed
from r2s_envs_pick_place.task.pick_place import PickPlace, robot_of

_SUFFIXES = (".stl", ".obj", ".ply")


def make(config: PickPlaceConfig) -> PickPlace:
    """The task on the configured objects, each in each of its sizes.

    Raises AssetError where an object is refused, or is both trained on and held out.
    """
    robot = robot_of(config)
    objects = [PickObject.from_asset(asset, held_out) for _, asset, held_out in _loaded(config)]
    objects = _in_all_sizes(objects, config)
    if config.object_poses == "any":
        objects = [lying for each in objects for lying in each.in_all_poses(robot.gripper)]
    return PickPlace(config, *objects, options=SceneOptions(robot=robot))


def keep_inputs(config: PickPlaceConfig, keep: Keep) -> PickPlaceConfig:
    """The same task on its own copies of the objects, prepared and at the scale they are used at.

    See `r2s_core.plugin.Plugin.inputs`. Raises AssetError as `make` does.
    """
    paths: dict[bool, list[Path]] = {False: [], True: []}
    for source, asset, held_out in _loaded(config):
        kept = asset.replace(source=asset.name)  # the path of the scan is private
        path = keep(f"{asset.name}.npz", asset_bytes(kept), source_file(source))
        paths[held_out].append(path)
    return dataclasses.replace(
        config,
        objects=tuple(paths[False]),
        held_out_objects=tuple(paths[True]),
        reconstructed_objects_dir=None,
        object_scale=1.0,
        object_mass=None,
        object_masses={},
    )


class _Loaded(NamedTuple):
    source: str | Path
    asset: ObjectAsset
    held_out: bool = False


def _loaded(config: PickPlaceConfig) -> list[_Loaded]:
    """All objects under unique names, the training objects first."""
    seen = _all_of(config) if config.reconstructed_objects_dir is None else _library(config)
    sources = [loaded.source for loaded in seen]
    if both := [s for s in config.held_out_objects if str(s) in map(str, sources)]:
        raise AssetError(
            f"{both[0]} is held out and trained on; drop it from environment.objects or from "
            "environment.held_out_objects"
        )
    unseen = [_load(source, config, held_out=True) for source in config.held_out_objects]
    report_unused(config, [*sources, *config.held_out_objects])
    return _distinct([*seen, *unseen])


def _all_of(config: PickPlaceConfig) -> list[_Loaded]:
    if not config.objects:
        raise AssetError("there is nothing to pick up; name a scan under environment.objects")
    return [_load(source, config, held_out=False) for source in config.objects]


def _library(config: PickPlaceConfig) -> list[_Loaded]:
    """The objects of a folder; those that the gripper cannot hold are skipped with a warning."""
    assert config.reconstructed_objects_dir is not None
    found, skipped = [], []
    for source in scans_in(config.reconstructed_objects_dir):
        try:
            found.append(_load(source, config, held_out=False))
        except NotGraspableError as error:
            skipped.append(str(error))
    if not found:
        raise AssetError(
            f"{config.reconstructed_objects_dir}: this gripper can hold nothing in it; {skipped[0]}"
        )
    for line in skipped:
        say_once(f"skipped: {line}")
    return found


def _load(source: str | Path, config: PickPlaceConfig, held_out: bool) -> _Loaded:
    try:
        return _Loaded(source, weighed(source, _options(config), config), held_out)
    except AssetError as error:
        raise type(error)(respelled(str(error), _in_yaml)) from error


def _in_yaml(name: str, value: str | None) -> str:
    """An option of `ObjectOptions` as this environment's configuration spells it."""
    key = f"object_{name}" if hasattr(PickPlaceConfig, f"object_{name}") else name
    return f"environment.{key}" if value is None else f"environment.{key}: {value}"


def _distinct(objects: list[_Loaded]) -> list[_Loaded]:
    """Objects that share a name are named by their source, so that results are distinguishable."""
    count = Counter(asset.name for _, asset, _ in objects)
    return [
        each if count[each.asset.name] == 1 else each._replace(asset=_renamed(each))
        for each in objects
    ]


def _renamed(loaded: _Loaded) -> ObjectAsset:
    return loaded.asset.replace(name=str(loaded.source))


def _in_all_sizes(objects: list[PickObject], config: PickPlaceConfig) -> list[PickObject]:
    if config.object_scales == (1.0,):
        return objects
    if not config.object_scales or min(config.object_scales) <= 0:
        raise AssetError(
            f"environment.object_scales is {list(config.object_scales)}; give factors above zero"
        )
    return [each.scaled(factor) for each in objects for factor in config.object_scales]


def scans_in(folder: Path) -> list[Path]:
    """The prepared objects and scanned meshes of a folder; raises AssetError if there are none."""
    if not folder.is_dir():
        raise AssetError(f"{folder}: no such folder (environment.reconstructed_objects_dir)")
    found = objects_in(folder)
    found += sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES)
    if not found:
        raise AssetError(
            f"{folder}: no scans and no objects in it; put STL, OBJ or PLY files there, or the "
            "output of `r2s object library`"
        )
    return found


def _options(config: PickPlaceConfig) -> ObjectOptions:
    return ObjectOptions(
        units=config.object_units,
        scale=config.object_scale,
        max_filled=config.object_max_filled,
        max_hull_vertices=config.max_hull_vertices,
        max_pieces=config.max_pieces,
        robot=config.robot,
        force=config.force,
    )
