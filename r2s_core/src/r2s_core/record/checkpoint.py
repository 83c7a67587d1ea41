"""Checkpoints: the whole learner, bit for bit, in a file that cannot be half written.

A checkpoint is one zip file: `checkpoint.json` (the index and the run's metadata) and one `.npy`
per leaf of the learner. The tree itself is not stored: the loader supplies a template, an
`algorithm.init(key)` of the same configuration, and every leaf is checked against it. Nothing in
the file is ever executed, and the zip's CRC-32 of every member reveals a damaged file.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.errors import R2SError
from r2s_core.system import documents, files

_FORMAT = "r2s-checkpoint/2"
_INDEX = "checkpoint.json"
_INDEX_LIMIT = 64 * files.MIB
_SUFFIX = ".ckpt"


class CheckpointError(R2SError):
    """A checkpoint cannot be written or does not belong to this run."""


class DamagedCheckpoint(CheckpointError):
    """A checkpoint file is truncated or corrupted."""


@dataclasses.dataclass(frozen=True)
class _Leaf:
    """A leaf's entry in the index."""

    path: str
    kind: Literal["key", "jax", "numpy", "python"]
    dtype: str
    shape: tuple[int, ...]
    impl: str | None = None  # of a key


@dataclasses.dataclass(frozen=True)
class _Index:
    format: str
    step: int
    meta: Mapping[str, Any]
    leaves: tuple[_Leaf, ...]


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A loaded learner, the metadata saved with it, and messages about skipped checkpoints."""

    learner: Any
    meta: dict[str, Any]
    path: Path
    skipped: tuple[str, ...] = ()


def save(folder: Path, learner: Any, meta: Mapping[str, Any], *, step: int, keep: int = 2) -> Path:
    """Write `learner` (a pytree of arrays) to `folder`, keeping the newest `keep` checkpoints.

    The file gets its final name only once it is durable, and older ones are deleted only after
    that, so a crash or a full disk at any moment leaves the earlier checkpoint intact. Only one
    process may save in the folder: partial files of a killed writer are removed.
    Raises `CheckpointError` with one sentence if the disk is full or the folder not writable.
    """
    path = folder / f"step-{step:015d}{_SUFFIX}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.remove_leftovers(folder)
        with files.replacing(path) as file:
            _write(file, learner, meta, step)
    except OSError as error:
        raise CheckpointError(_why_not_saved(folder, error)) from error
    for old in checkpoints(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The finished checkpoints in `folder`, oldest first."""
    return sorted(folder.glob(f"step-*{_SUFFIX}"))


def load_latest(
    folder: Path, template: Any, check: Callable[[Mapping[str, Any], Path], None] | None = None
) -> Loaded | None:
    """The newest readable checkpoint in `folder`, or None where there is none at all.

    A damaged file is skipped in favour of the one before it, and named in `Loaded.skipped`. An
    intact checkpoint of another configuration is an error, and so is a folder with only damaged
    ones. check: as in `load`.
    """
    skipped: list[str] = []
    for path in reversed(checkpoints(folder)):
        try:
            learner, meta = load(path, template, check)
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


def load(
    path: Path, template: Any, check: Callable[[Mapping[str, Any], Path], None] | None = None
) -> tuple[Any, dict[str, Any]]:
    """Read one checkpoint into the structure of `template`; returns (learner, meta).

    check: called with the meta and the path before any leaf is read; raises to refuse them.

    Leaves are restored as they were saved: JAX arrays, typed PRNG keys, NumPy arrays (dtype and
    bits unchanged) or Python numbers. Raises `DamagedCheckpoint` naming the file, or
    `CheckpointError` naming the leaf whose shape or dtype differs from the template's, or
    reporting that the memory or the file system is at fault, not the file.
    """
    flat, treedef = jax.tree_util.tree_flatten_with_path(template)
    with files.open_regular(path, what="a checkpoint", error=CheckpointError) as file:
        try:
            archive = zipfile.ZipFile(file)
            index = _read_index(archive)
        except Exception as error:
            raise _why_not_read(path, error) from error
        if index.format != _FORMAT:
            raise CheckpointError(
                f"{path} is {index.format[:60]}, but this r2s reads {_FORMAT}; continue with the "
                "r2s that saved it, or start a new run."
            )
        if check is not None:
            check(index.meta, path)
        # All checks come before the first array: a wrong one may be larger than the memory.
        _check_names(path, [jax.tree_util.keystr(key) for key, _ in flat], index.leaves)
        for (_, expected), leaf in zip(flat, index.leaves, strict=True):
            _check_leaf(path, expected, leaf)
        try:
            arrays = [_read_array(archive, i, leaf) for i, leaf in enumerate(index.leaves)]
        except Exception as error:
            raise _why_not_read(path, error) from error
    leaves = [_restore(leaf, array) for leaf, array in zip(index.leaves, arrays, strict=True)]
    return treedef.unflatten(leaves), dict(index.meta)


def _write(file: IO[bytes], learner: Any, meta: Mapping[str, Any], step: int) -> None:
    flat, _ = jax.tree_util.tree_flatten_with_path(learner)
    index = {
        "format": _FORMAT,
        "step": step,
        "meta": files.strict(meta),
        "leaves": [dataclasses.asdict(_describe(jax.tree_util.keystr(key), x)) for key, x in flat],
    }
    # Stored, not deflated: weights do not compress, and a checkpoint must not stall training.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_INDEX, json.dumps(index, indent=1, allow_nan=False))
        for i, (_, leaf) in enumerate(flat):
            with archive.open(f"{i}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, _host_array(leaf), allow_pickle=False)


def _describe(name: str, leaf: Any) -> _Leaf:
    kind, impl = _kind(leaf), None
    if kind == "key":
        impl = str(jax.random.key_impl(leaf))
        leaf = jax.random.key_data(leaf)
    elif kind == "python":
        leaf = np.asarray(leaf)
    if not hasattr(leaf, "dtype") or leaf.dtype == np.dtype(object):
        raise CheckpointError(
            f"The learner's leaf {name} is a {type(leaf).__name__}, which is not an array."
        )
    return _Leaf(name, kind, leaf.dtype.name, tuple(leaf.shape), impl)


def _host_array(leaf: Any) -> np.ndarray:
    """A leaf's numbers as `.npy` can store them."""
    if _kind(leaf) == "key":
        leaf = jax.random.key_data(leaf)
    array = np.asarray(leaf)
    contiguous = np.ascontiguousarray(array).reshape(array.shape)
    if array.dtype.isbuiltin == 1:
        return contiguous
    # The format does not know bfloat16 and similar dtypes, so their bytes are stored.
    return contiguous.reshape(array.shape or (1,)).view(np.uint8)


def _kind(leaf: Any) -> Literal["key", "jax", "numpy", "python"]:
    if isinstance(leaf, jax.Array):
        return "key" if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else "jax"
    return "python" if isinstance(leaf, bool | int | float) else "numpy"


def _read_index(archive: zipfile.ZipFile) -> _Index:
    with _open(archive, _INDEX, _INDEX_LIMIT) as member:
        data = files.parse_json(member.read().decode())
    return documents.parse(_Index, data, _INDEX)


def _read_array(archive: zipfile.ZipFile, i: int, leaf: _Leaf) -> np.ndarray:
    """The array of a leaf that matches the template; its size is checked before it is allocated."""
    name, dtype = f"{i}.npy", jnp.dtype(leaf.dtype)
    size = math.prod(leaf.shape) * dtype.itemsize
    with _open(archive, name, size + 2**16) as member:
        version = np.lib.format.read_magic(member)
        if version != (1, 0):
            raise ValueError(f"{name} is of version {version}")
        shape, _, stored = np.lib.format.read_array_header_1_0(member)
        if stored.hasobject or math.prod(shape) * stored.itemsize != size:
            raise ValueError(f"{name} does not have the size of its leaf")
    with archive.open(name) as member:
        array = np.lib.format.read_array(member, allow_pickle=False)
        member.read(1)  # the CRC is checked at the end of the member
    if array.dtype != dtype:
        array = array.view(dtype)
    return array.reshape(leaf.shape)


def _open(archive: zipfile.ZipFile, name: str, limit: int) -> IO[bytes]:
    """A member, which must be uncompressed as `save` stores it, so that its memory is bounded."""
    member = archive.getinfo(name)
    if member.compress_type != zipfile.ZIP_STORED or member.file_size > limit:
        raise ValueError(f"{name} is compressed or too large")
    return archive.open(member)


def _check_names(path: Path, expected: list[str], leaves: tuple[_Leaf, ...]) -> None:
    found = [leaf.path for leaf in leaves]
    if found == expected:
        return
    missing = sorted(set(expected) - set(found))
    extra = sorted(set(found) - set(expected))
    what = f"lacks {missing[0]}" if missing else f"has {extra[0] if extra else 'another order'}"
    raise CheckpointError(
        f"{path} belongs to another configuration: it {what}. Resume with the run's own "
        "config.yaml, or start a new run."
    )


def _check_leaf(path: Path, expected: Any, leaf: _Leaf) -> None:
    wanted = _describe(leaf.path, expected)
    for what in ("impl", "dtype", "shape"):
        found, needed = getattr(leaf, what), getattr(wanted, what)
        if found != needed:
            raise CheckpointError(
                f"{path} belongs to another configuration: {leaf.path} has {what} {_text(found)}, "
                f"this run needs {_text(needed)}. Resume with the run's own config.yaml, or start "
                "a new run."
            )
    if (leaf.kind == "key") != (leaf.impl is not None) or (leaf.kind == "python" and leaf.shape):
        raise DamagedCheckpoint(f"{path} is damaged: {leaf.path} is not a {leaf.kind}.")


def _text(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)[:60]


def _restore(leaf: _Leaf, array: np.ndarray) -> Any:
    match leaf.kind:
        case "key":
            return jax.random.wrap_key_data(jnp.asarray(array), impl=leaf.impl)
        case "jax":
            return jnp.array(array)  # a copy: JAX may donate this buffer
        case "python":
            return array.item()
        case _:
            return array


def _why_not_read(path: Path, error: Exception) -> CheckpointError:
    """`DamagedCheckpoint` only where the file's content is at fault: an older one is then used."""
    if isinstance(error, MemoryError):
        return CheckpointError(
            f"There is not enough memory to load {path}; free some, then continue with --resume."
        )
    # EIO is a bad sector; EINVAL results from a damaged file's offsets.
    if isinstance(error, OSError) and error.errno not in (errno.EIO, errno.EINVAL, None):
        return CheckpointError(f"{path} cannot be read: {error.strerror}.")
    # zipfile and NumPy raise a dozen kinds of errors on garbage.
    return DamagedCheckpoint(f"{path} is damaged or truncated: {error or type(error).__name__}")


def _why_not_saved(folder: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        earlier = any(folder.glob(f"*{_SUFFIX}"))
        rest = "the earlier checkpoints there are intact: " if earlier else ""
        next_step = "continue with --resume" if earlier else "start again"
        return (
            f"No space left to save a checkpoint in {folder}; {rest}free some space and "
            f"{next_step}."
        )
    return f"Cannot save a checkpoint in {folder}: {error.strerror or error}."
