"""Point clouds as plain text, one point per line: .xyz, .pts, .asc, .csv, .txt."""

from __future__ import annotations

import re

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Floats
from r2s_envs_objects.formats.text import BadNumberError, is_binary, normalised, numbers
from r2s_envs_objects.reconstruct.cloud import PointCloud, check_count, finite_cloud

HEAD_LINES = 20  # that may hold column names or a count of points
UNIT_SHARE, UNIT_LENGTH = 0.99, 0.02  # normals: fraction of unit length, within this tolerance
_DECIMAL_COMMAS = re.compile(rb" *-?\d+,\d+(?: *;| +)-?\d+,\d+(?: *;| +)-?\d")


def parse(data: bytes, label: str) -> PointCloud:
    """The points of a file's content, in its own unit; AssetError if lines are not points.

    The first three columns are x y z; three further ones of unit length are the normals; all others
    are ignored. Columns are separated by white space, commas or semicolons.
    """
    if is_binary(data):
        raise AssetError(f"{label}: binary bytes in a text of points; export the cloud again")
    text = re.sub(rb"^ *(?:#|//)[^\n]*", b"", normalised(data), flags=re.MULTILINE)
    if _DECIMAL_COMMAS.match(text.lstrip()):
        text = text.replace(b",", b".")
    text = text.replace(b",", b" ").replace(b";", b" ")
    text, width = _without_head(text, label)
    rows = text.count(b"\n") - len(re.findall(rb"\n *(?=\n)|\A *\n", text)) + (text[-1:] != b"\n")
    check_count(rows, label)
    try:
        values = numbers(text)
    except BadNumberError as error:
        raise AssetError(f"{label}: {error}; export its points as x y z, one per line") from None
    if len(values) != rows * width:
        raise AssetError(
            f"{label}: {len(values)} numbers in {rows} lines, of which the first holds {width}: "
            "damaged or truncated; copy or export it again"
        )
    table = values.reshape(rows, width)
    return finite_cloud(table[:, :3], _normals(table), None, label)


def _without_head(text: bytes, label: str) -> tuple[bytes, int]:
    """The text from its first point on, and the count of numbers in that line."""
    for _ in range(HEAD_LINES):
        line, _, rest = text.partition(b"\n")
        try:
            width = len(numbers(line))
        except BadNumberError:
            width = 0
        if width >= 3:
            return text, width
        text = rest
    raise AssetError(f"{label}: no line of three numbers; export its points as x y z, one per line")


def _normals(table: Floats) -> Floats | None:
    for start in {3, 4, 6, 7, table.shape[1] - 3}:
        columns = table[:, start : start + 3]
        if start < 3 or columns.shape[1] < 3:
            continue
        off = np.abs(np.linalg.norm(columns, axis=1) - 1.0)
        if (off < UNIT_LENGTH).mean() > UNIT_SHARE:
            return columns
    return None
