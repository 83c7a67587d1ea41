"""Convex pieces for collision."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import fast_simplification
import numpy as np
from manifold3d import Error, Manifold, Mesh, OpType

from r2s_core.system.worker import python_command
from r2s_envs_objects.asset import Finding, Floats, Ints
from r2s_envs_objects.mesh.columns import intersection_over_union
from r2s_envs_objects.mesh.hull import hull_mesh, hull_volume, reduce_hull
from r2s_envs_objects.mesh.inertia import volume_integrals
from r2s_envs_objects.mesh.measure import deviation
from r2s_envs_objects.mesh.shells import shell_pieces
from r2s_envs_objects.options import ObjectOptions

COLLISION_FACES = 4000
MISSED, CAREFUL = 1.05, 3.0  # face ratio of a missed target; aggressiveness then (else 7)
CONCAVITY = 0.008  # m, how deep a dent a piece may bridge
TIMEOUT = 120.0  # s, on a busy machine; CPU time has a separate limit
FEW, MOST = 16, 128  # pieces: the budget, and its maximum where a hollow would be filled
HOLLOW = 1.0  # a hull that exceeds the volume by more than this fraction of it covers a hollow
MIN_IOU, MAX_VOLUME_ERROR = 0.80, 0.10  # of the pieces' union; beyond, they are a solid lump
MAX_P95 = 0.005  # m; beyond, a warning
_COUNTS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_TOO_MUCH = 1.5  # of the volume: hulls that together exceed it cannot overlap well
_SHELL_VERTICES = 32  # of each of many pieces: more add nothing


def decimate(vertices: Floats, faces: Ints, max_faces: int) -> tuple[Floats, Ints]:
    """A mesh with about max_faces faces, or more where its shape would suffer.

    The result may not be watertight.
    """
    if len(faces) <= max_faces:
        return vertices, faces
    centre, unit = vertices.mean(axis=0), float(np.ptp(vertices, axis=0).max())
    points, triangles = ((vertices - centre) / unit).astype(np.float32), faces.astype(np.int32)
    few = fast_simplification.simplify(points, triangles, target_count=max_faces)
    if len(few[1]) > MISSED * max_faces:
        # Where fans of hundreds of slivers cannot collapse, it tolerates any error elsewhere.
        few = fast_simplification.simplify(points, triangles, target_count=max_faces, agg=CAREFUL)
    return np.asarray(few[0], np.float64) * unit + centre, np.asarray(few[1], np.int64)


def simplify(vertices: Floats, faces: Ints, max_faces: int) -> tuple[Floats, Ints, list[Finding]]:
    """`decimate`, in metres, and a finding on how it changed the surface."""
    few_vertices, few = decimate(vertices, faces, max_faces)
    if few is faces:
        return vertices, faces, []
    change = volume_integrals(few_vertices, few)[0] / volume_integrals(vertices, faces)[0] - 1.0
    far = deviation(vertices, faces, few_vertices, few)
    what = f"{len(faces)} faces: {len(few)} for visuals and collisions; volume and mass use all"
    note = Finding(what, "info", True, far.hausdorff, change, "many-faces")
    return few_vertices, few, [note]


class Decomposition(NamedTuple):
    """Hull vertices [k, 3] of each convex piece; how well their union fits the scan; findings."""

    pieces: tuple[Floats, ...]
    iou: float  # intersection over union with the closed scan
    volume_error: float  # of the union, relative: 0.1 is 10 % too much
    surface_p95: float  # m, 95th percentile of the distance between the surfaces, both ways
    findings: list[Finding]


def convex_pieces(
    vertices: Floats, faces: Ints, volume: float, options: ObjectOptions
) -> Decomposition:
    """The convex pieces of a closed mesh in metres.

    One hull if it is hardly larger than the object, else CoACD. Where CoACD would fill a hollow,
    finer pieces are used, and more of them unless `max_pieces` is given.
    """
    excess = hull_volume(vertices) / volume - 1.0
    whole = (reduce_hull(vertices, options.max_hull_vertices),)
    if options.max_pieces == 1 or excess <= options.hull_excess:
        return fidelity(whole, vertices, faces, volume)
    fine = _fine(vertices, faces, volume, options) if excess > HOLLOW else None
    if fine is not None:
        return fine
    try:
        parts = _coacd(*decimate(vertices, faces, COLLISION_FACES), options.max_pieces or FEW)
    except (subprocess.SubprocessError, OSError, ValueError, KeyError) as error:
        cause = "timed out" if isinstance(error, subprocess.TimeoutExpired) else "failed"
        what = f"the convex decomposition {cause}: one convex hull instead"
        made = fidelity(whole, vertices, faces, volume)
        made.findings.insert(0, Finding(what, "warning", repaired=True, code="pieces-failed"))
        return made
    pieces = tuple(reduce_hull(part, options.max_hull_vertices) for part in parts)
    coarse = fidelity(pieces, vertices, faces, volume)
    if faithful(coarse.iou, coarse.volume_error):
        return coarse
    fine = _fine(vertices, faces, volume, options)
    if fine is not None and (faithful(fine.iou, fine.volume_error) or fine.iou > coarse.iou):
        return fine
    return coarse


def faithful(iou: float, volume_error: float) -> bool:
    """Whether pieces of this overlap and volume represent the object, hollows included."""
    return iou >= MIN_IOU and abs(volume_error) <= MAX_VOLUME_ERROR


def _fine(
    vertices: Floats, faces: Ints, volume: float, options: ObjectOptions
) -> Decomposition | None:
    """The fewest `shell_pieces` that are faithful, else the most; None where there are none.

    They are pressed thinner only as far as needed.
    """
    solid = _manifold(*decimate(vertices, faces, COLLISION_FACES))
    scan = _manifold(vertices, faces)
    if solid.status() != Error.NoError or scan.status() != Error.NoError or solid.volume() <= 0.0:
        return None
    budget = options.max_pieces or MOST
    found = shell_pieces(solid, {min(count, budget) for count in _COUNTS})
    pieces: list[Floats] = []
    for count in sorted(found):
        pieces = [piece.points for piece in found[count]]
        if sum(piece.hull for piece in found[count]) > _TOO_MUCH * volume:
            continue
        iou, error = _overlap(pieces, scan, volume)
        for amount in (0.5, 1.0):
            if iou < MIN_IOU - 0.03 or _surely(iou, error):
                break
            pieces = [piece.pressed(amount) for piece in found[count]]
            iou, error = _overlap(pieces, scan, volume)
        if _surely(iou, error):
            break
    else:
        pressed = [piece.pressed(1.0) for piece in found[max(found)]] if found else []
        if pressed and _overlap(pressed, scan, volume) > _overlap(pieces, scan, volume):
            pieces = pressed
    most = min(options.max_hull_vertices, _SHELL_VERTICES)
    hulls = tuple(reduce_hull(points, most) for points in pieces)
    return fidelity(hulls, vertices, faces, volume) if hulls else None


def _surely(iou: float, volume_error: float) -> bool:
    """Faithful with a margin for reducing the vertices of each hull."""
    return iou >= MIN_IOU + 0.01 and abs(volume_error) <= MAX_VOLUME_ERROR - 0.015


def _overlap(pieces: Sequence[Floats], scan: Manifold, volume: float) -> tuple[float, float]:
    """Intersection over union of the pieces with the scan, and their relative volume error."""
    union = Manifold.batch_boolean([_manifold(*hull_mesh(p)) for p in pieces], OpType.Add)
    common = (union ^ scan).volume()
    return common / (union.volume() + volume - common), union.volume() / volume - 1.0


def fidelity(
    pieces: tuple[Floats, ...], vertices: Floats, faces: Ints, volume: float
) -> Decomposition:
    """How well the union of convex pieces matches the closed mesh; a warning if poorly."""
    hulls = [hull_mesh(p) for p in pieces]
    union = Manifold.batch_boolean([_manifold(*hull) for hull in hulls], OpType.Add)
    solid = _manifold(vertices, faces)
    if solid.status() == Error.NoError:
        common = (union ^ solid).volume()
        iou = common / (union.volume() + volume - common)
    else:  # the scan touches itself: no exact overlap
        iou = intersection_over_union(hulls, (vertices, faces))
    mesh = union.to_mesh()
    surface = np.asarray(mesh.vert_properties, np.float64)[:, :3], np.asarray(mesh.tri_verts)
    far = deviation(vertices, faces, surface[0], surface[1].astype(np.int64))
    what = f"{len(pieces)} convex piece{'s' * (len(pieces) > 1)}"
    what += f", {union.volume() / volume - 1.0:+.1%} of the volume"
    what += f", intersection over union {iou:.2f}, surface within {far.p95 * 1000:.1f} mm (95 %)"
    change = union.volume() / volume - 1.0
    poor = not faithful(iou, change) or far.p95 > MAX_P95
    note = Finding(what, "warning" if poor else "info", False, far.hausdorff, change, "pieces")
    return Decomposition(pieces, float(iou), float(change), far.p95, [note])


def _manifold(vertices: Floats, faces: Ints) -> Manifold:
    return Manifold(Mesh(vertices.astype(np.float32), faces.astype(np.uint32)))


def _coacd(vertices: Floats, faces: Ints, max_pieces: int) -> list[Floats]:
    """CoACD's parts, as vertices; it runs in a separate process since it may crash or hang."""
    with tempfile.TemporaryDirectory(prefix="r2s-coacd-") as folder:
        source, result = Path(folder) / "in.npz", Path(folder) / "out.npz"
        options = np.array([max_pieces, CONCAVITY])
        np.savez(source, vertices=vertices, faces=faces, options=options)
        subprocess.run(
            python_command("-m", "r2s_envs_objects.mesh.coacd_worker", str(source), str(result)),
            check=True,
            timeout=TIMEOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with np.load(result, allow_pickle=False) as file:
            parts = [file[name] for name in sorted(file.files)]
    if not parts:
        raise ValueError("no parts")
    return parts
