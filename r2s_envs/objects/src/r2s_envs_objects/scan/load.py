"""Reads an untrusted mesh file: every claim is checked before it is used."""

from __future__ import annotations

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Finding, Floats, Ints
from r2s_envs_objects.formats import obj, ply, stl
from r2s_envs_objects.formats.limits import check_faces
from r2s_envs_objects.formats.polygons import strips, triangulated
from r2s_envs_objects.mesh.topology import used_vertices
from r2s_envs_objects.scan.resolution import resolution_findings

MAX_NONFINITE_SHARE = 0.001


def parse(data: bytes, suffix: str, label: str) -> tuple[Floats, Ints, list[Finding]]:
    """Vertices [n, 3] and triangles [m, 3] of a file's content, in the file's own unit.

    suffix: ".stl", ".obj" or ".ply"; label: the file's name in errors. AssetError on anything
    that is not a mesh with finite vertices and valid indices.
    """
    vertices, faces, findings = {".stl": stl.read, ".obj": _obj, ".ply": _ply}[suffix](data, label)
    if len(faces) == 0:
        raise AssetError(f"{label}: holds no faces; export a triangle mesh")
    vertices, faces, dropped = _drop_nonfinite(vertices, faces, label)
    coarse = resolution_findings(vertices[used_vertices(faces)], label)
    return vertices, faces, findings + dropped + coarse


def _obj(data: bytes, label: str) -> tuple[Floats, Ints, list[Finding]]:
    vertices, faces, coloured = obj.read(data, label)
    return vertices, faces, _colour_findings(coloured)


def _ply(data: bytes, label: str) -> tuple[Floats, Ints, list[Finding]]:
    header = ply.read_header(data, label, "mesh")
    if not any(header.rows(name) for name in ("face", "tristrips")):
        raise AssetError(
            f"{label}: a point cloud, not a mesh; make one with `r2s object reconstruct`"
        )
    found = ply.read_elements(data, header, {"vertex", "face", "tristrips"}, label)
    points = found.get("vertex", {})
    if not {"x", "y", "z"} <= set(points):
        raise AssetError(f"{label}: its PLY vertices have no x y z; export positions")
    check_faces(header.rows("face"), header.rows("vertex"), label)
    with np.errstate(invalid="ignore"):  # signalling NaNs of damaged files
        vertices = np.stack([points[axis].astype(np.float64) for axis in "xyz"], axis=1)
    parts = []
    if "face" in found:
        corners, counts = _indices(found["face"], len(vertices), label)
        check_faces(int(np.maximum(counts - 2, 0).sum()), len(vertices), label)
        parts.append(triangulated(corners, counts, vertices))
    if "tristrips" in found:
        corners, counts = _indices(found["tristrips"], len(vertices), label, restarts=True)
        # Strips are separate lists, or separated by -1 within a list, whose end also ends a strip.
        ends = np.cumsum(counts)
        parts.append(strips(np.insert(corners, ends, -1)))
    faces = np.concatenate(parts)
    check_faces(len(faces), len(vertices), label)
    names = set(points) | set(found.get("face", ()))
    return vertices, faces, _colour_findings(bool(names & _COLOURS))


_COLOURS = {"red", "diffuse_red", "s", "u", "texture_u", "texcoord"}


def _indices(
    columns: ply.Columns, vertices: int, label: str, restarts: bool = False
) -> tuple[Ints, Ints]:
    """The vertex indices [k] of faces or strips, concatenated, and the count of each."""
    lists = {name: value for name, value in columns.items() if isinstance(value, ply.Lists)}
    names = [name for name in ("vertex_indices", "vertex_index") if name in lists]
    if not names and len(lists) != 1:
        raise AssetError(f"{label}: its PLY faces have no vertex_indices; export a triangle mesh")
    values, counts = lists[names[0]] if names else next(iter(lists.values()))
    values = values.astype(np.float64)
    if restarts:  # -1 as an unsigned number
        values = np.where(np.isin(values, [2.0**32 - 1.0, 2.0**16 - 1.0]), -1.0, values)
    sound = (values >= (-1.0 if restarts else 0.0)) & (values < vertices)
    sound &= np.floor(values) == values
    if not sound.all():
        face = int(np.searchsorted(np.cumsum(counts), np.argmin(sound), side="right"))
        raise AssetError(
            f"{label}: face {face} names a vertex that does not exist (there are {vertices}); "
            "export the scan again"
        )
    return values.astype(np.int64), counts


def _colour_findings(coloured: bool) -> list[Finding]:
    what = "its colours or textures are dropped: only the shape is used"
    return [Finding(what, code="colours")] if coloured else []


def _drop_nonfinite(vertices: Floats, faces: Ints, label: str):
    used = used_vertices(faces)
    # False for NaN; coordinates beyond 1e12 are as meaningless as infinity, and overflow later.
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
