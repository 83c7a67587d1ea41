"""From a source to a simulation-ready object: read, cached, and prepared under `guard`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from r2s_core.errors import AssetError, R2SError
from r2s_core.gripper import Gripper
from r2s_envs_objects.asset import Finding, ObjectAsset
from r2s_envs_objects.behaviour.grasp import gripper_of, narrowest_grasp
from r2s_envs_objects.guard import sandbox
from r2s_envs_objects.names import display_name
from r2s_envs_objects.options import ObjectOptions
from r2s_envs_objects.scan.source import expanded, locate, read_bytes
from r2s_envs_objects.store import cache
from r2s_envs_objects.store.arrays import from_arrays


class NotGraspableError(AssetError):
    """The object is sound, but this gripper cannot hold it."""


def load_object(source: str | Path, options: ObjectOptions = ObjectOptions()) -> ObjectAsset:  # noqa: B008
    """A scan as a simulation-ready object, from the cache if it was prepared before.

    source: a .stl, .obj or .ply file, or "sample:NAME", or an object that `r2s object fix` made:
    its folder, or its .npz. AssetError, with one sentence that says what is wrong and what to do,
    for every file that is refused; PluginError if `options.robot` is not installed.
    """
    gripper = gripper_of(options.robot)
    if (asset := _prepared(source, options, gripper)) is not None:
        _require_grasp(asset, str(source), options, gripper)
        return asset
    path, label = locate(source)
    data = read_bytes(path)
    suffix = path.suffix.lower()
    key = cache.content_hash(data, options, gripper, suffix)
    folder = cache.folder_of(options)
    asset = cache.read(folder, key)
    findings: list[Finding] = []
    if asset is None:
        arguments = {
            "suffix": suffix,
            "label": label,
            "key": key,
            "options": dataclasses.asdict(options),
            "gripper": dataclasses.asdict(gripper),
        }
        made = sandbox.call(
            "r2s_envs_objects.preparation.pipeline:prepared", data, arguments, label
        )
        try:
            asset = from_arrays(made)
        except (ValueError, R2SError) as error:
            raise AssetError(f"{label}: gives no sound object ({error}); scan it again") from None
        # Stages that timed out on a busy machine are tried again the next time.
        makeshift = any(finding.code == "pieces-failed" for finding in asset.findings)
        if not makeshift and (problem := cache.write(folder, asset)):
            findings.append(Finding(problem, "warning" if folder else "info", code="cache"))
    asset = asset.replace(
        name=display_name(path), source=str(source), findings=(*asset.findings, *findings)
    )
    _require_grasp(asset, label, options, gripper)
    return asset


def _prepared(source: str | Path, options: ObjectOptions, gripper: Gripper) -> ObjectAsset | None:
    """The object that `r2s object fix` made, if the source is one, for this gripper."""
    path = expanded(source)
    if path.suffix.lower() != ".npz" and not path.is_dir():
        return None
    from r2s_envs_objects.store.prepared import load_prepared, prepared_file  # heavy: it has MuJoCo

    made = prepared_file(source)
    if made is None:
        return None
    asset = load_prepared(made, options).replace(source=str(source))
    return asset if asset.robot == options.robot else _for_another(asset, options.robot, gripper)


def _for_another(asset: ObjectAsset, robot: str, gripper: Gripper) -> ObjectAsset:
    """The object for another robot's gripper, which has not been tested with it."""
    grasp = narrowest_grasp(asset.visual_vertices, asset.visual_faces, gripper)
    return asset.replace(
        robot=robot,
        grasp_width=grasp.width,
        grasp_yaw=grasp.yaw,
        grasp_height=grasp.height,
        grasp_offset=grasp.offset,
        grasp_across=0.0,
        grasps=(),
        grasp_share=0.0,
        graspable=None,
    )


def _require_grasp(
    asset: ObjectAsset, label: str, options: ObjectOptions, gripper: Gripper
) -> None:
    """AssetError for an object that the gripper cannot hold, unless forced."""
    if options.force or asset.forced:
        return
    if asset.graspable is False:
        raise NotGraspableError(
            f"{label}: the gripper could not hold it when it was certified (see its "
            "certificate.html); set `force` to train on it anyway"
        )
    # An object that was held may have been held by another grasp.
    if asset.grasp_width > gripper.widest and not asset.graspable:
        raise NotGraspableError(
            f"{label}: too wide for the {gripper}: held from above at its "
            f"centre of mass it spans {asset.grasp_width * 1000:.0f} mm at its narrowest (limit "
            f"{gripper.widest * 1000:.0f}); try `r2s object fix`, which also tries a rim or a "
            "handle, set `scale`, or `force` to go on without a grasp"
        )
