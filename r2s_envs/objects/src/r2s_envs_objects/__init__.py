"""From a scanned mesh to a simulation-ready object.

from r2s_envs_objects import ObjectOptions, load_object
asset = load_object("scan.stl", ObjectOptions(mass=0.2))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2s_envs_objects.options import ObjectOptions

if TYPE_CHECKING:
    from r2s_envs_objects.asset import Finding, GraspPose, ObjectAsset, RestingPose
    from r2s_envs_objects.behaviour.grasp import narrowest_grasp
    from r2s_envs_objects.preparation.loader import NotGraspableError, load_object
    from r2s_envs_objects.store.prepared import objects_in

__all__ = [
    "Finding",
    "GraspPose",
    "NotGraspableError",
    "ObjectAsset",
    "ObjectOptions",
    "RestingPose",
    "load_object",
    "narrowest_grasp",
    "objects_in",
]


def __getattr__(name: str):
    # NumPy, trimesh and MuJoCo are imported when an object is loaded, not when options are listed.
    if name in ("load_object", "NotGraspableError"):
        from r2s_envs_objects.preparation import loader

        return getattr(loader, name)
    if name == "narrowest_grasp":
        from r2s_envs_objects.behaviour.grasp import narrowest_grasp

        return narrowest_grasp
    if name == "objects_in":
        from r2s_envs_objects.store.prepared import objects_in

        return objects_in
    if name in ("Finding", "GraspPose", "ObjectAsset", "RestingPose"):
        from r2s_envs_objects import asset

        return getattr(asset, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
