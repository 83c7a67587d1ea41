"""Checkpoints: the whole learner, bit for bit, in a file that cannot be half written.

A checkpoint is one zip file: `checkpoint.json` (the index and the run's own notes) and one `.npy`
per leaf of the learner. The tree itself is not stored: whoever loads brings a template, an
`algorithm.init(key)` of the same configuration, and every leaf is checked against it. Nothing
in the file is ever executed, and the zip's CRC-32 of every member tells a damaged file.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.errors import R2SError

_FORMAT = "r2s-checkpoint/1"
_INDEX = "checkpoint.json"
_SUFFIX = ".ckpt"


class CheckpointError(R2SError):
    """A checkpoint cannot be written or does not belong to this run."""


class DamagedCheckpoint(CheckpointError):
    """A checkpoint file is truncated or corrupted."""


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A learner read back, the notes saved with it, and what had to be skipped on the way."""

    learner: Any
    meta: dict[str, Any]
    path: Path
    skipped: tuple[str, ...] = ()


def save(folder: Path, learner: Any, meta: Mapping[str, Any], *, step: int, keep: int = 2) -> Path:
    """Write `learner` (a pytree of arrays) to `folder`, keeping the newest `keep` checkpoints.

    The file appears under its final name only once it is durable, and older ones go only after
    that, so a crash or a full disk at any moment leaves the earlier checkpoint as it was.
    Raises `CheckpointError` with one sentence if the disk is full or the folder not writable.
    """
    path = folder / f"step-{step:015d}{_SUFFIX}"
    temporary = folder / f".writing-{os.getpid()}{_SUFFIX}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            _write(file, learner, meta, step)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _fsync_folder(folder)
    except OSError as error:
        _remove(temporary)
        raise CheckpointError(_why_not_saved(folder, error)) from error
    except BaseException:
        _remove(temporary)
        raise
    for old in checkpoints(folder)[:-keep]:
        _remove(old)
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The finished checkpoints in `folder`, oldest first."""
    return sorted(folder.glob(f"step-*{_SUFFIX}"))


def load_latest(folder: Path, template: Any) -> Loaded | None:
    """The newest readable checkpoint in `folder`, or None where there is none at all.

    A damaged file is passed over for the one before it, and named in `Loaded.skipped`. A sound
    checkpoint of another configuration is an error, as are checkpoints that are all damaged.
    """
    skipped: list[str] = []
    for path in reversed(checkpoints(folder)):
        try:
            learner, meta = load(path, template)
        except DamagedCheckpoint as error:
            skipped.append(str(error))
            continue
        return Loaded(learner, meta, path, tuple(skipped))
    if skipped:
        raise CheckpointError(
            f"{folder}: no checkpoint can be read ({'; '.join(skipped)}); "
            "start the run again without --resume."
        )
    return None


def load(path: Path, template: Any) -> tuple[Any, dict[str, Any]]:
    """Read one checkpoint into the structure of `template`; returns (learner, meta).

    Leaves come back as what they were saved as: JAX arrays, typed PRNG keys, numpy arrays (their
    dtype and bits untouched) or Python numbers. Raises `DamagedCheckpoint` naming the file, or
    `CheckpointError` naming the leaf whose shape or dtype differs from the template's.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            index = json.loads(archive.read(_INDEX))
            entries = index["leaves"]
            arrays = [_read_array(archive, i, entry) for i, entry in enumerate(entries)]
    except Exception as error:  # zipfile and numpy raise a dozen kinds on garbage
        raise DamagedCheckpoint(f"{path} is damaged or truncated: {error}") from error
    if index["format"] != _FORMAT:
        raise CheckpointError(f"{path} is {index['format']}, but this r2s reads {_FORMAT}.")

    flat, treedef = jax.tree_util.tree_flatten_with_path(template)
    _check_names(path, [jax.tree_util.keystr(key) for key, _ in flat], entries)
    leaves = []
    for (_, expected), entry, array in zip(flat, entries, arrays, strict=True):
        _check_leaf(path, expected, entry)
        leaves.append(_restore(entry, array))
    return treedef.unflatten(leaves), index["meta"]


def _write(file: Any, learner: Any, meta: Mapping[str, Any], step: int) -> None:
    flat, _ = jax.tree_util.tree_flatten_with_path(learner)
    index = {
        "format": _FORMAT,
        "step": step,
        "meta": dict(meta),
        "leaves": [_describe(jax.tree_util.keystr(key), leaf) for key, leaf in flat],
    }
    # Stored, not deflated: weights do not compress, and a checkpoint must not stall training.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_INDEX, json.dumps(index, indent=1))
        for i, (_, leaf) in enumerate(flat):
            with archive.open(f"{i}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, _host_array(leaf), allow_pickle=False)


def _describe(name: str, leaf: Any) -> dict[str, Any]:
    """What the index says of a leaf: its path, kind, dtype and shape."""
    entry: dict[str, Any] = {"path": name, "kind": _kind(leaf)}
    if entry["kind"] == "key":
        entry["impl"] = str(jax.random.key_impl(leaf))
        leaf = jax.random.key_data(leaf)
    elif entry["kind"] == "python":
        leaf = np.asarray(leaf)
    if not hasattr(leaf, "dtype") or leaf.dtype == np.dtype(object):
        raise CheckpointError(
            f"The learner's leaf {name} is a {type(leaf).__name__}, which is not an array."
        )
    return entry | {"dtype": leaf.dtype.name, "shape": list(leaf.shape)}


def _host_array(leaf: Any) -> np.ndarray:
    """A leaf's numbers as `.npy` can hold them."""
    if _kind(leaf) == "key":
        leaf = jax.random.key_data(leaf)
    array = np.asarray(leaf)
    contiguous = np.ascontiguousarray(array).reshape(array.shape)
    if array.dtype.isbuiltin == 1:
        return contiguous
    # bfloat16 and its like are unknown to the format; their bytes are not.
    return contiguous.reshape(array.shape or (1,)).view(np.uint8)


def _kind(leaf: Any) -> str:
    if isinstance(leaf, jax.Array):
        return "key" if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else "jax"
    return "python" if isinstance(leaf, bool | int | float) else "numpy"


def _read_array(archive: zipfile.ZipFile, i: int, entry: dict[str, Any]) -> np.ndarray:
    with archive.open(f"{i}.npy") as member:
        array = np.lib.format.read_array(member, allow_pickle=False)
        member.read(1)  # the CRC is checked at the end of the member
    dtype = jnp.dtype(entry["dtype"])
    if array.dtype != dtype:
        array = array.view(dtype)
    return array.reshape(entry["shape"])


def _check_names(path: Path, expected: list[str], entries: list[dict[str, Any]]) -> None:
    found = [entry["path"] for entry in entries]
    if found == expected:
        return
    missing = sorted(set(expected) - set(found))
    extra = sorted(set(found) - set(expected))
    what = f"lacks {missing[0]}" if missing else f"has {extra[0] if extra else 'another order'}"
    raise CheckpointError(
        f"{path} belongs to another configuration: it {what}. Resume with the run's own "
        "config.yaml, or start a new run."
    )


def _check_leaf(path: Path, expected: Any, entry: dict[str, Any]) -> None:
    wanted = _describe(entry["path"], expected)
    for what in ("shape", "dtype"):
        if entry[what] != wanted[what]:
            raise CheckpointError(
                f"{path} belongs to another configuration: {entry['path']} has {what} "
                f"{entry[what]}, this run needs {wanted[what]}. Resume with the run's own "
                "config.yaml, or start a new run."
            )


def _restore(entry: dict[str, Any], array: np.ndarray) -> Any:
    match entry["kind"]:
        case "key":
            return jax.random.wrap_key_data(jnp.asarray(array), impl=entry["impl"])
        case "jax":
            return jnp.array(array)  # a copy: JAX may donate this buffer
        case "python":
            return array.item()
        case _:
            return array


def _why_not_saved(folder: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"No space left to save a checkpoint in {folder}; the earlier checkpoints there are "
            "intact: free some space, then go on with --resume."
        )
    return f"Cannot save a checkpoint in {folder}: {error.strerror or error}."


def _fsync_folder(folder: Path) -> None:
    """Make the rename itself durable; not every file system lets a folder be synced."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
