"""`examples.npz`: recorded inputs of a policy and the actions that it gave."""

from __future__ import annotations

import io
import math
import zipfile
from typing import BinaryIO, cast

import numpy as np

from r2s_deploy import documents
from r2s_deploy.bundle import EXAMPLES, Bundle
from r2s_deploy.errors import BundleError

ACTION = "action"
_LIMIT = 256 * 2**20  # bytes, packed and unpacked
_MOST_ROWS = 10_000
_LONGEST_HEADER = 4096  # bytes


def read(bundle: Bundle) -> dict[str, np.ndarray]:
    """Inputs and actions, [N, *shape] by name, of the contract's dtypes, and finite.

    Raises `BundleError` for anything else; nothing is allocated for what the file's headers claim
    before they agree with the contract.
    """
    wanted = dict(bundle.inputs)
    wanted[ACTION] = (len(bundle.actions),), "float32"
    path = bundle.path / EXAMPLES
    data = documents.read_bytes(path, _LIMIT)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_entries(archive, [f"{name}.npy" for name in wanted])
            found = {}
            for name, (shape, dtype) in wanted.items():
                with archive.open(f"{name}.npy") as file:
                    found[name] = _array(cast(BinaryIO, file), name, shape, dtype)
    except BundleError:
        raise
    except Exception as error:  # of zipfile, zlib, lzma, bz2, tokenize, ast and NumPy
        raise BundleError(f"{path} cannot be read: {documents.one_line(error)}") from error
    if len({len(x) for x in found.values()}) != 1:
        raise BundleError(f"{EXAMPLES} has another number of inputs than of actions")
    for name, x in found.items():
        if not np.isfinite(x).all():
            raise BundleError(f"{EXAMPLES}: {name} has numbers that are not finite")
    return found


def _check_entries(archive: zipfile.ZipFile, wanted: list[str]) -> None:
    names = [entry.filename for entry in archive.infolist()]
    if sorted(names) != sorted(wanted):
        shown = ascii(sorted(names))[:200]
        raise BundleError(f"{EXAMPLES} has {shown}, and the contract says {sorted(wanted)}")
    if sum(entry.file_size for entry in archive.infolist()) > _LIMIT:
        raise BundleError(f"{EXAMPLES} unpacks to more than {_LIMIT:,} bytes")


def _array(file: BinaryIO, name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise BundleError(f"{EXAMPLES}: {name} is of version {version} of NumPy's format, not 1.0")
    found, by_columns, kind = readers[version](file, max_header_size=_LONGEST_HEADER)
    rows = found[0] if found else 0
    if found[1:] != shape or kind != np.dtype(dtype) or not 1 <= rows <= _MOST_ROWS:
        raise BundleError(
            f"{EXAMPLES}: {name} is {kind}{list(found)}, and the contract says {dtype} and "
            f"{['N', *shape]}, N from 1 to {_MOST_ROWS:,}"
        )
    size = math.prod(found) * kind.itemsize
    if size > _LIMIT:
        raise BundleError(f"{EXAMPLES}: {name} has more than {_LIMIT:,} bytes")
    content = file.read(size + 1)
    if len(content) != size:
        raise BundleError(f"{EXAMPLES}: {name} has another size than its header says")
    return np.frombuffer(content, kind).reshape(found, order="F" if by_columns else "C")
