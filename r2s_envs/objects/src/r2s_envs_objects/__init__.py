"""From a scanned mesh to a simulation-ready object.

from r2s_envs_objects import ObjectOptions, load_object
asset = load_object("scan.stl", ObjectOptions(mass=0.2))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2s_envs_objects.options import ObjectOptions

if TYPE_CHECKING:
    from r2s_envs_objects.asset import Finding, GraspPose, ObjectAsset, RestingPose
    from r2s_envs_objects.loader import load_object

__all__ = ["Finding", "GraspPose", "ObjectAsset", "ObjectOptions", "RestingPose", "load_object"]


def __getattr__(name: str):
    # NumPy, trimesh and MuJoCo are imported when an object is loaded, not when options are listed.
    if name == "load_object":
        from r2s_envs_objects.loader import load_object

        return load_object
    if name in ("Finding", "GraspPose", "ObjectAsset", "RestingPose"):
        from r2s_envs_objects import asset

        return getattr(asset, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
