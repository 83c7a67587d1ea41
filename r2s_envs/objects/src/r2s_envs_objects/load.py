"""Reading a mesh file that nobody vouches for: every claim is checked before it is believed."""

from __future__ import annotations

import io
import logging
import re

import numpy as np
import trimesh

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Finding, Floats, Ints
from r2s_envs_objects.topology import used_vertices

MAX_FACES = 2_000_000
MAX_VERTICES = 3 * MAX_FACES
MAX_NONFINITE_SHARE = 0.001

# Our errors say what is wrong; without a handler, trimesh's tracebacks would go to the screen too.
logging.getLogger("trimesh").addHandler(logging.NullHandler())


def parse(data: bytes, suffix: str, label: str) -> tuple[Floats, Ints, list[Finding]]:
    """Vertices [n, 3] and triangles [m, 3] of a file's content, in the file's own unit.

    suffix: ".stl", ".obj" or ".ply"; label: what errors call the file. AssetError on anything
    that is not a mesh with finite vertices and valid indices.
    """
    check = {".stl": _check_stl, ".obj": _check_obj, ".ply": _check_ply}[suffix]
    file_type = check(data, label)
    if file_type == "stl":
        vertices, faces = _binary_stl(data)
    else:
        vertices, faces = _with_trimesh(data, file_type, label)
    if len(faces) == 0:
        raise AssetError(f"{label}: holds no faces; export a triangle mesh")
    if len(faces) > MAX_FACES:
        raise AssetError(
            f"{label}: {len(faces)} faces, over the limit of {MAX_FACES}; decimate the scan first"
        )
    if faces.min() < 0 or faces.max() >= len(vertices):
        face = int(np.argmax((faces < 0).any(axis=1) | (faces >= len(vertices)).any(axis=1)))
        raise AssetError(
            f"{label}: face {face} names a vertex that does not exist (there are "
            f"{len(vertices)}); export the scan again"
        )
    return _drop_nonfinite(vertices, faces, label)


def _binary_stl(data: bytes) -> tuple[Floats, Ints]:
    """trimesh needs four times the memory."""
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attributes", "<u2")])
    corners = np.frombuffer(data, record, offset=84)["corners"]
    with np.errstate(invalid="ignore"):
        vertices = corners.reshape(-1, 3).astype(np.float64)
    return vertices, np.arange(len(vertices)).reshape(-1, 3)


def _with_trimesh(data: bytes, file_type: str, label: str) -> tuple[Floats, Ints]:
    # Names and comments may be in any encoding; what counts is ASCII in all of them.
    text, mark, body = data.partition(b"end_header") if file_type == "ply" else (data, b"", b"")
    data = text.decode("ascii", "replace").encode("utf-8") + mark + body
    try:
        with np.errstate(invalid="ignore"):
            mesh = trimesh.load(
                io.BytesIO(data),
                file_type=file_type,
                force="mesh",
                process=False,  # `process` would drop NaN vertices without a word
                skip_materials=True,
            )
        assert isinstance(mesh, trimesh.Trimesh)
        vertices = np.array(mesh.vertices, np.float64).reshape(-1, 3)
        faces = np.array(mesh.faces, np.int64).reshape(-1, 3)
    except MemoryError:
        raise
    except Exception as error:  # the parser is fed hostile bytes and raises anything
        raise AssetError(
            f"{label}: cannot be read as {file_type[:3].upper()} ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}); export the scan again"
        ) from None
    return vertices, faces


def _drop_nonfinite(vertices: Floats, faces: Ints, label: str):
    used = used_vertices(faces)
    # False for NaN; a coordinate beyond 1e12 is as meaningless as infinity, and overflows later.
    bad = np.logical_not(np.all(np.abs(vertices) < 1e12, axis=1))
    share = bad[used].mean()
    if share == 0.0:
        return vertices, faces, []
    count = int(bad[used].sum())
    if share > MAX_NONFINITE_SHARE:
        raise AssetError(
            f"{label}: {count} of {len(used)} vertices are NaN or infinite ({share:.2%}, limit "
            f"{MAX_NONFINITE_SHARE:.1%}); export the scan again"
        )
    kept = faces[~bad[faces].any(axis=1)]
    what = f"{count} vertices were NaN or infinite: dropped with {len(faces) - len(kept)} faces"
    return vertices, kept, [Finding(what, "warning", repaired=True, code="not-finite")]


def _check_stl(data: bytes, label: str) -> str:
    """ "stl" for binary, "stl_ascii" for text; AssetError if the size belies the header."""
    claimed = int.from_bytes(data[80:84], "little") if len(data) >= 84 else 0
    if len(data) == 84 + 50 * claimed and claimed > 0:
        return "stl"
    if data[:5].lower() == b"solid" and b"facet" in data[:1000]:
        if b"endsolid" not in data[-1000:]:
            raise AssetError(f"{label}: the STL text breaks off before `endsolid`; copy it again")
        return "stl_ascii"
    if len(data) < 84:
        raise AssetError(f"{label}: {len(data)} bytes are no STL mesh; export the scan again")
    fits = (len(data) - 84) // 50
    raise AssetError(
        f"{label}: its STL header claims {claimed} faces but the file has room for {fits}: "
        "truncated, or not an STL mesh; copy or export it again"
    )


def _check_obj(data: bytes, label: str) -> str:
    """AssetError unless every index of every face exists, naming the line that lies."""
    if b"\0" in data:
        raise AssetError(f"{label}: binary bytes in an OBJ text file; export the scan again")
    vertices = len(re.findall(rb"^[ \t]*v[ \t]", data, re.MULTILINE))
    faces = re.findall(rb"^[ \t]*f[ \t]", data, re.MULTILINE)
    if not vertices or not faces:
        missing = "vertices" if not vertices else "faces"
        raise AssetError(f"{label}: no {missing} in the OBJ file; export a triangle mesh")
    if len(faces) > MAX_FACES or vertices > MAX_VERTICES:
        raise AssetError(f"{label}: over {MAX_FACES} faces; decimate the scan first")
    for number, line in enumerate(data.splitlines(), start=1):
        words = line.split()
        if not words or words[0] != b"f":
            continue
        for word in words[1:]:
            try:
                index = int(word.split(b"/")[0])
            except ValueError:
                index = 0
            if not (1 <= index <= vertices or -vertices <= index <= -1):
                raise AssetError(
                    f"{label}: line {number}: face index {word.decode(errors='replace')!r} is out "
                    f"of range (the file has {vertices} vertices); export the scan again"
                )
    return "obj"


def _check_ply(data: bytes, label: str) -> str:
    """AssetError if the PLY header is none, or claims more than the file can hold."""
    header, mark, body = data.partition(b"end_header")
    if not data.startswith(b"ply") or not mark or len(header) > 100_000:
        raise AssetError(f"{label}: no PLY header; the file is not a PLY mesh, export it again")
    claims = re.findall(rb"^element\s+(\S+)\s+(\d+)", header, re.MULTILINE)
    counts = {name.decode(errors="replace"): int(count) for name, count in claims}
    if not counts.get("face"):
        raise AssetError(
            f"{label}: a point cloud, not a mesh; make one with `r2s object reconstruct`"
        )
    # The least that an element takes: 3 one-byte numbers in binary, 3 digits and spaces as text.
    least = {"vertex": 3, "face": 4}
    for name, count in counts.items():
        if count * least.get(name, 1) > len(body):
            raise AssetError(
                f"{label}: its PLY header claims {count} x {name} but only {len(body)} bytes "
                "follow: truncated or damaged; copy or export it again"
            )
    if counts["face"] > MAX_FACES or counts.get("vertex", 0) > MAX_VERTICES:
        raise AssetError(f"{label}: over {MAX_FACES} faces; decimate the scan first")
    return "ply"
