"""STL, text or binary, told apart by the content rather than the first word."""

from __future__ import annotations

import re

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Finding, Floats, Ints
from r2s_envs_objects.formats.limits import check_faces
from r2s_envs_objects.formats.polygons import triangulated
from r2s_envs_objects.formats.text import BadNumberError, Lines, is_binary, normalised

HEAD = 84  # bytes before the faces of a binary file: 80 arbitrary ones, 4 for the count
_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attributes", "<u2")])
UNKNOWN_COUNTS = (0, 2**32 - 1)  # placeholders that some writers never replace
MOST = 0.5  # fraction of the records beyond the count that must look like faces


def read(data: bytes, label: str) -> tuple[Floats, Ints, list[Finding]]:
    """Vertices [n, 3], triangles [m, 3] and findings; AssetError if it is neither kind of STL."""
    claimed = int.from_bytes(data[80:HEAD], "little") if len(data) >= HEAD else 0
    # Only the last face's two attribute bytes, which are not used, may be missing.
    fits = claimed > 0 and HEAD + 50 * claimed - 2 <= len(data)
    if not fits and not is_binary(data):
        text = normalised(data)
        if b"facet" in text and b"vertex" in text:
            return (*_text(text, label), [])
    room = max(len(data) - HEAD, 0) // 50
    if not fits and (room == 0 or claimed not in UNKNOWN_COUNTS):
        raise AssetError(_not_binary(data, claimed, room, label))
    count = claimed if fits else 0
    whole = data if room >= count else data + b"\0\0"
    records = np.frombuffer(whole, _RECORD, max(count, room), HEAD)
    findings = []
    if room > count and _are_faces(records, count):
        what = f"the header counts {claimed} faces, the file holds {room}: all were read"
        findings.append(Finding(what, repaired=True, code="miscounted"))
        count = room
    elif count == 0:
        raise AssetError(_not_binary(data, claimed, room, label))
    elif (left := len(data) - HEAD - 50 * count) > 0:
        what = f"{left} byte{'s' * (left > 1)} after the last face: ignored"
        findings.append(Finding(what, code="trailing"))
    check_faces(count, 3 * count, label)
    with np.errstate(invalid="ignore"):  # signalling NaNs of damaged files
        vertices = records["corners"][:count].reshape(-1, 3).astype(np.float64)
    return vertices, np.arange(3 * count).reshape(-1, 3), findings


def _are_faces(records: np.ndarray, count: int) -> bool:
    """Whether the records after the first `count` are faces too.

    Faces have an area, a normal that fits or none, and share their corners with others, bit for
    bit; no other content has all three properties.
    """
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):  # the bytes are arbitrary
        corners = records["corners"] + np.float32(0.0)  # -0.0 becomes 0.0
        # Corners are compared by a hash of their bits, which is quick to sort.
        factors = np.array([1, 0x9E3779B1, 0xC2B2AE3D27D4EB4F], np.uint64)
        bits = (corners.view(np.uint32).astype(np.uint64) * factors).sum(axis=2)
        _, identity, often = np.unique(bits, return_inverse=True, return_counts=True)
        shared = (often[identity.reshape(-1, 3)[count:]] > 1).all(axis=1)
        a, b, c = np.moveaxis(corners[count:].astype(np.float64), 1, 0)
        across, given = np.cross(b - a, c - a), records["normal"][count:].astype(np.float64)
        cosine = (across * given).sum(axis=1) / np.linalg.norm(across, axis=1)
        aligned = np.abs(cosine) > 0.9 * np.linalg.norm(given, axis=1)
        without = (given == 0.0).all(axis=1) & (across != 0.0).any(axis=1)
        return float((shared & (aligned | without)).mean()) > MOST


def _not_binary(data: bytes, claimed: int, room: int, label: str) -> str:
    if data.lstrip()[:5].lower() == b"solid" and b"facet" in data[:1000]:
        return f"{label}: binary bytes in an STL text file; copy or export it again"
    if len(data) < HEAD:
        return f"{label}: {len(data)} bytes are not an STL mesh; export the scan again"
    return (
        f"{label}: its STL header claims {claimed} faces but the file has room for {room}: "
        "truncated, or not an STL mesh; copy or export it again"
    )


def _text(text: bytes, label: str) -> tuple[Floats, Ints]:
    if re.search(rb"^[^\n]*facet normal [^\n]*vertex", text, re.MULTILINE):  # all in one line
        text = re.sub(rb" (endsolid|endfacet|endloop|facet|outer|vertex)(?= )", rb"\n\1", text)
    lines = Lines(text)
    try:
        v = lines.table(b"vertex")
    except BadNumberError as error:
        raise AssetError(
            f"{label}: line {error.line}: {error.word!r} is not a number; export the scan again"
        ) from None
    facets = lines.starting(b"facet")
    ends = lines.starting(b"endsolid")
    if not len(ends) or (len(v.lines) and ends[-1] < v.lines[-1]):
        raise AssetError(f"{label}: the STL text ends before `endsolid`; copy it again")
    if (v.counts != 3).any():
        line = lines.number(int(v.lines[np.argmax(v.counts != 3)]))
        raise AssetError(f"{label}: line {line}: a vertex needs three numbers; export it again")
    owner = np.searchsorted(facets, v.lines) - 1
    counts = np.bincount(owner[owner >= 0], minlength=len(facets))
    if (owner < 0).any() or (counts[counts > 0] < 3).any():
        short = int(np.argmax((counts > 0) & (counts < 3))) if len(facets) else 0
        line = lines.number(int(facets[short])) if (owner >= 0).all() else 1
        raise AssetError(f"{label}: line {line}: a facet has too few vertices; export it again")
    check_faces(int(np.maximum(counts - 2, 0).sum()), len(v.lines), label)
    vertices = v.values.reshape(-1, 3)
    return vertices, triangulated(np.arange(len(vertices)), counts, vertices)
