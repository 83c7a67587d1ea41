"""The scanned body, separated from flakes, flaps, cavities and second copies."""

from __future__ import annotations

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Finding, Floats, Ints
from r2s_envs_objects.mesh.inertia import volume_integrals
from r2s_envs_objects.mesh.measure import Surface, areas_of, farthest
from r2s_envs_objects.mesh.topology import adjacency, boundary_loops, components, flipped, flips

WARN_STRAY, MAX_STRAY = 0.02, 0.30  # share of the area outside the largest component
MOST_CAVITIES = 4
SEAM, MIN_SEAM_SHARE = np.radians(30.0), 0.05  # bend at a seam; surface fraction on each side
WAIST = 1.2  # least ratio of the sides' radius to the seam's
TWICE = 0.5  # overlap of two parts' bounding boxes that makes them one object scanned twice


def largest_part(vertices: Floats, faces: Ints, label: str, findings: list[Finding]) -> Ints:
    """The faces of the largest connected part; AssetError if too much lies outside it."""
    # Edges of three or more faces do not connect: flaps attached to the body come off as strays.
    a, b, _ = adjacency(faces)
    count, part = components(len(faces), a, b)
    if count == 1:
        return faces
    area = np.bincount(part, areas_of(vertices, faces), minlength=count)
    largest = int(area.argmax())
    body = faces[part == largest]
    big = [
        k for k in np.argsort(area)[-MOST_CAVITIES - 1 : -1] if area[k] > MAX_STRAY * area[largest]
    ]
    hollow = [k for k in big if _is_inner_shell(vertices, faces[part == k], body)]
    surface = Surface(vertices, body)
    if hollow:
        what = "inner surface dropped: treated as solid"
        inner = faces[np.isin(part, hollow)]
        findings.append(_dropped(what, "warning", "hollow", vertices, inner, body, surface))
    outside = ~np.isin(part, [largest, *hollow])
    area[hollow] = 0.0
    stray = 1.0 - area[largest] / area.sum()
    if stray > MAX_STRAY:
        second = int(np.where(np.arange(count) == largest, -1.0, area).argmax())
        raise AssetError(
            _too_much(vertices, body, faces[part == second], stray, outside, part, label)
        )
    if others := count - 1 - len(hollow):
        severity = "warning" if stray > WARN_STRAY else "info"
        what = f"{others} stray part{'s' * (others > 1)} dropped, {stray:.2%} of the surface"
        rest = faces[outside]
        findings.append(_dropped(what, severity, "stray", vertices, rest, body, surface))
    return body


def _dropped(what, severity, code, vertices: Floats, gone: Ints, body: Ints, surface: Surface):
    whole, _, _ = volume_integrals(vertices, body)
    lost, _, _ = volume_integrals(vertices, gone)
    change = -lost / (whole + lost) if whole + lost else 0.0
    return Finding(what, severity, True, farthest(vertices, gone, surface), change, code)


def _too_much(vertices: Floats, body: Ints, second: Ints, stray, outside, part, label: str) -> str:
    boxes = [(v.min(axis=0), v.max(axis=0)) for v in (vertices[body], vertices[second])]
    boxes = [(low.min(axis=0), high.max(axis=0)) for low, high in boxes]
    overlap = np.minimum(boxes[0][1], boxes[1][1]) - np.maximum(boxes[0][0], boxes[1][0])
    smaller = min(float((high - low).prod()) for low, high in boxes)
    if np.maximum(overlap, 0.0).prod() > TWICE * smaller:
        return (
            f"{label}: one object scanned twice: {stray:.0%} of the surface lies outside the "
            "largest part and overlaps it; register the two scans, or delete one"
        )
    touch = ", which touch" if np.isin(second, body).any() else ""
    return (
        f"{label}: several objects{touch}: {stray:.0%} of the surface lies outside the largest of "
        f"{len(np.unique(part[outside])) + 1} parts; save each object in a file of its own"
    )


def seam_findings(vertices: Floats, faces: Ints) -> list[Finding]:
    """A warning where a sharp seam runs all around a waist between two large parts of a surface.

    Touching objects that were scanned together look like this, and hardly anything else: on none
    of 23 scanned objects is the smaller of two such parts above 1 % of the surface.
    """
    a, b, _ = adjacency(faces)
    first, second, third = (vertices[faces[:, i]] for i in range(3))
    normal = np.cross(second - first, third - first)
    normal /= np.maximum(np.linalg.norm(normal, axis=1), 1e-300)[:, None]
    middle = (first + second + third) / 3.0
    inward = np.einsum("ij,ij->i", middle[b] - middle[a], normal[a]) > 0.0
    sharp = np.einsum("ij,ij->i", normal[a], normal[b]) < np.cos(SEAM)
    joined = ~(inward & sharp)
    count, part = components(len(faces), a[joined], b[joined])
    shares = np.bincount(part, areas_of(vertices, faces), minlength=count)
    shares /= shares.sum()
    large = np.argsort(shares)[::-1][:2]
    if count < 2 or shares[large[1]] < MIN_SEAM_SHARE:
        return []
    sides = [np.unique(faces[part == k]) for k in large]
    if not _is_waist(vertices, np.intersect1d(sides[0], sides[1]), sides):
        return []
    what = "may be two objects that touch: a sharp seam runs all around between "
    what += f"{shares[large[0]]:.0%} and {shares[large[1]]:.0%} of its surface; if so, save each "
    return [Finding(what + "in a file of its own", "warning", code="touching")]


def _is_waist(vertices: Floats, seam: Ints, sides: list[Ints]) -> bool:
    """Whether both sides are wider than the seam between them, as a bottle's neck is not."""
    if len(seam) < 3:
        return False
    centre = vertices[seam].mean(axis=0)
    plane = np.linalg.svd(vertices[seam] - centre, full_matrices=False)[2][:2]
    radius, *others = (
        float(np.linalg.norm((vertices[k] - centre) @ plane.T, axis=1).max())
        for k in (seam, *sides)
    )
    return min(others) > WAIST * radius


def _is_inner_shell(vertices: Floats, faces: Ints, body: Ints) -> bool:
    """Whether a closed part lies within the bounds of the body, as a cavity's surface does."""
    inner, outer = vertices[np.unique(faces)], vertices[np.unique(body)]
    if (inner.min(0) <= outer.min(0)).any() or (inner.max(0) >= outer.max(0)).any():
        return False
    return not boundary_loops(flipped(faces, flips(faces)))
