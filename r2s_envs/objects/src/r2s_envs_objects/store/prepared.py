"""Prepared objects as files: written by `r2s object fix`, and read by `load_object`."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from r2s_core.errors import AssetError
from r2s_core.system import files
from r2s_envs_objects.asset import Finding, ObjectAsset
from r2s_envs_objects.behaviour.rest import flatten_base
from r2s_envs_objects.mesh.hull import reduce_hull
from r2s_envs_objects.mesh.inertia import check_density, check_inertia
from r2s_envs_objects.object_folder import ASSET
from r2s_envs_objects.options import ObjectOptions
from r2s_envs_objects.scan.source import expanded, locate
from r2s_envs_objects.store.arrays import from_arrays, to_arrays

SUFFIX = ".npz"
_MAX_BYTES, _MAX_ARRAYS = 512 * 2**20, 1000  # once unpacked
_AGAIN = "prepare it again with `r2s object fix`"


def prepared_file(source: str | Path) -> Path | None:
    """The asset file that a source means, if it is a prepared object: its folder, or a .npz."""
    path = expanded(source)
    if path.suffix.lower() == SUFFIX:
        return path
    return path / ASSET if (path / ASSET).is_file() else None


def objects_in(folder: Path) -> list[Path]:
    """The prepared objects of a library, as sources for `load_object`, sorted; may be empty."""
    found = [path.parent for path in folder.glob(f"*/{ASSET}")]
    return sorted([*found, *folder.glob(f"*{SUFFIX}")])


def write_asset(path: Path, asset: ObjectAsset) -> str:
    """Write the asset to a new file `path`; returns its content's SHA-256, also in the file."""
    arrays = to_arrays(asset)
    digest = _digest(arrays)
    np.savez_compressed(path, digest=np.frombuffer(digest.encode(), np.uint8), **arrays)
    return digest


def asset_bytes(asset: ObjectAsset) -> bytes:
    """A file for `read_asset`, the same bytes for the same asset: uncompressed, no timestamps."""
    arrays = to_arrays(asset)
    arrays["digest"] = np.frombuffer(_digest(arrays).encode(), np.uint8)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as member:
                np.lib.format.write_array(member, np.asarray(arrays[name]), allow_pickle=False)
    return made.getvalue()


def source_file(source: str | Path) -> Path:
    """The file that a source of `load_object` means."""
    return prepared_file(source) or locate(source)[0]


def read_asset(path: Path) -> ObjectAsset:
    """The asset of a file, checked against its own hash; AssetError on anything else."""
    try:
        with files.open_regular(path, what="a prepared object", error=AssetError) as file:
            arrays = _arrays(file)
        if arrays.pop("digest").tobytes().decode() != _digest(arrays):
            raise ValueError("its content does not match its hash")
        return from_arrays(arrays)
    except AssetError:
        raise
    except Exception as error:  # the file may hold anything
        cause = " ".join(str(error).split()) or type(error).__name__
        raise AssetError(f"{path}: not a sound prepared object ({cause}); {_AGAIN}") from None


def _arrays(file: IO[bytes]) -> dict[str, np.ndarray]:
    """The arrays of an opened .npz; any exception if it is not one."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > _MAX_ARRAYS or sum(m.file_size for m in members) > _MAX_BYTES:
            raise ValueError("larger than any object")
        if len({member.filename for member in members}) < len(members):
            raise ValueError("two arrays of one name")
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def load_prepared(path: Path, options: ObjectOptions) -> ObjectAsset:
    """A prepared object, with the options that can still change: scale, mass, friction and the
    vertices of each piece. Units and the up axis were fixed when it was prepared.
    """
    asset = read_asset(path)
    if options.scale != 1.0:
        asset = scaled(asset, options.scale)
    if options.mass is not None:
        asset = _with_mass(asset, options.mass)
    if options.friction is not None:
        span = (
            min(asset.friction_range[0], options.friction),
            max(asset.friction_range[1], options.friction),
        )
        asset = asset.replace(friction=options.friction, friction_range=span)
    if any(len(piece) > options.max_hull_vertices for piece in asset.pieces):
        pieces = tuple(reduce_hull(piece, options.max_hull_vertices) for piece in asset.pieces)
        flat, _ = flatten_base(pieces)
        asset = asset.replace(pieces=_grounded(flat, asset.resting_qpos.height))
    if options.max_pieces and len(asset.pieces) > options.max_pieces:
        what = f"{len(asset.pieces)} pieces as it was prepared, over max_pieces"
        more = Finding(f"{what} ({options.max_pieces}): {_AGAIN}", "warning", code="pieces")
        asset = asset.replace(findings=(*asset.findings, more))
    return asset


def scaled(asset: ObjectAsset, factor: float) -> ObjectAsset:
    """The object `factor` times as large, of the same density; its tests no longer count."""
    transform = np.diag([factor, factor, factor, 1.0]) @ asset.scan_to_body
    low, high = asset.mass_range
    return asset.replace(
        visual_vertices=asset.visual_vertices * factor,
        pieces=tuple(piece * factor for piece in asset.pieces),
        mass=asset.mass * factor**3,
        mass_range=(low * factor**3, high * factor**3),
        inertia=asset.inertia * factor**5,
        size=asset.size * factor,
        volume=asset.volume * factor**3,
        resting_qpos=asset.resting_qpos._replace(height=asset.resting_qpos.height * factor),
        resting_poses=tuple(p._replace(height=p.height * factor) for p in asset.resting_poses),
        grasp_width=asset.grasp_width * factor,
        grasp_height=asset.grasp_height * factor,
        grasp_offset=asset.grasp_offset * factor,
        grasp_across=asset.grasp_across * factor,
        scan_to_body=transform,
        surface_p95=asset.surface_p95 * factor,
        grasps=(),
        grasp_share=0.0,
        graspable=None,
    )


def _with_mass(asset: ObjectAsset, mass: float) -> ObjectAsset:
    share = mass / asset.mass
    low, high = asset.mass_range
    inertia = asset.inertia * share
    check_inertia(inertia, asset.name)
    check_density(mass, asset.volume, asset.name)
    return asset.replace(mass=mass, mass_range=(low * share, high * share), inertia=inertia)


def _grounded(pieces: tuple[np.ndarray, ...], height: float) -> tuple[np.ndarray, ...]:
    """The pieces, shifted vertically so that the lowest point is at -height again."""
    drop = min(float(piece[:, 2].min()) for piece in pieces) + height
    return tuple(piece - [0.0, 0.0, drop] for piece in pieces)


def _digest(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 of names, types, shapes and content."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()
