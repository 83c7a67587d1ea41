"""Wavefront OBJ, shape only; groups, materials and texture coordinates are ignored."""

from __future__ import annotations

import re

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Floats, Ints
from r2s_envs_objects.formats.limits import check_faces
from r2s_envs_objects.formats.polygons import triangulated
from r2s_envs_objects.formats.text import BadNumberError, Lines, Table, is_binary, normalised


def read(data: bytes, label: str) -> tuple[Floats, Ints, bool]:
    """Vertices [n, 3], triangles [m, 3], and whether the file also has colours or a texture.

    AssetError, naming the line, if a number is malformed or a face names a missing vertex.
    """
    if is_binary(data):
        raise AssetError(f"{label}: binary bytes in an OBJ text file; export the scan again")
    text = normalised(data)
    if b"\\" in text:  # lines that continue on the next
        text = re.sub(rb"\\ *\n", b" \r", text)
    if b"#" in text:
        text = re.sub(rb"(?<![^ \n\r])#[^\n\r]*", b"", text)
    lines = Lines(text)
    try:
        v = lines.table(b"v")
        f = lines.table(b"f", integers=True, clean=_without_texture)
    except BadNumberError as error:
        raise AssetError(
            f"{label}: line {error.line}: {error.word!r} is not a number; export the scan again"
        ) from None
    for name, table in (("vertices", v), ("faces", f)):
        if not len(table.lines):
            raise AssetError(f"{label}: no {name} in the OBJ file; export a triangle mesh")
    if (v.counts < 3).any():
        line = lines.number(int(v.lines[np.argmax(v.counts < 3)]))
        raise AssetError(f"{label}: line {line}: a vertex needs three numbers; export it again")
    check_faces(int(np.maximum(f.counts - 2, 0).sum()), len(v.lines), label)
    starts = np.cumsum(v.counts) - v.counts
    vertices = v.values[starts[:, None] + np.arange(3)]
    faces = triangulated(_resolved(f, v, lines, label), f.counts, vertices)
    # A texture counts only with texture coordinates or materials.
    coloured = bool((v.counts >= 6).any()) or len(lines.starting(b"vt")) > 0
    return vertices, faces, coloured or len(lines.starting(b"usemtl")) > 0


def _without_texture(text: bytes) -> bytes:
    """ "1/2/3" -> "1"."""
    return re.sub(rb"/[^ \n\r]*", b"", text) if b"/" in text else text


def _resolved(f: Table, v: Table, lines: Lines, label: str) -> Ints:
    """Zero-based indices [k]; negative ones count back from the last vertex before the face."""
    seen = np.repeat(np.searchsorted(v.lines, f.lines), f.counts)
    index = np.where(f.values > 0, f.values - 1, f.values + seen)
    wrong = (f.values == 0) | (index < 0) | (index >= len(v.lines))
    if wrong.any():
        place = int(np.argmax(wrong))
        before = f", {seen[place]} of them before that line" if f.values[place] < 0 else ""
        owner = int(np.searchsorted(np.cumsum(f.counts), place, side="right"))
        raise AssetError(
            f"{label}: line {lines.number(int(f.lines[owner]))}: face index "
            f"'{f.values[place]}' is out of range (the file has {len(v.lines)} vertices{before}); "
            "export the scan again"
        )
    return index
