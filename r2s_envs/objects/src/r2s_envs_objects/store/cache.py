"""Cache of prepared assets on disk, by content; the folder may be deleted at any time."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np

from r2s_core.gripper import Gripper
from r2s_core.system.cache_folder import cache_folder
from r2s_envs_objects.asset import ObjectAsset
from r2s_envs_objects.options import ObjectOptions
from r2s_envs_objects.store.arrays import from_arrays, to_arrays

#: Increment when any stage changes its result for the same file.
PIPELINE_VERSION = 9


def folder_of(options: ObjectOptions) -> Path | None:
    """The cache folder: `cache_dir`, else r2s's own; None if there is none."""
    if not options.cache_dir:
        return cache_folder()
    try:
        return Path(options.cache_dir).expanduser()
    except RuntimeError:  # ~ of a user without a home
        return None


def content_hash(data: bytes, options: ObjectOptions, gripper: Gripper, suffix: str) -> str:
    """SHA-256 of the file, its format, the options that shape the asset, and this pipeline."""
    other = ("cache_dir", "force")
    shaping = {k: v for k, v in dataclasses.asdict(options).items() if k not in other}
    spans = dataclasses.asdict(gripper)
    header = json.dumps([PIPELINE_VERSION, suffix, shaping, spans], sort_keys=True).encode()
    return hashlib.sha256(header + b"\0" + data).hexdigest()


def read(folder: Path | None, key: str) -> ObjectAsset | None:
    """The cached asset; None if there is none or its file is damaged."""
    if folder is None:
        return None
    path = folder / "objects" / f"{key}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            asset = from_arrays({name: file[name] for name in file.files})
    except Exception:  # damaged in any way: it is made again
        return None
    return asset if asset.content_hash == key else None


def write(folder: Path | None, asset: ObjectAsset) -> str | None:
    """Cache the asset; returns None, or why it could not be cached."""
    if folder is None:
        return "not cached: this user has no home folder; set R2S_CACHE_DIR to keep what was made"
    path = folder / "objects" / f"{asset.content_hash}.npz"
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            partial = Path(file.name)
            np.savez_compressed(file, **to_arrays(asset))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)  # atomic: a reader sees the whole file or none
    except OSError as error:
        if partial is not None:
            partial.unlink(missing_ok=True)
        return f"not cached in {path.parent}: {error.strerror or error}"
    return None
