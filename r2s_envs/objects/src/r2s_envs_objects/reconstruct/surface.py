"""From oriented points to one closed surface."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from manifold3d import Error, Manifold, Mesh
from scipy.spatial import KDTree

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Floats, Ints
from r2s_envs_objects.reconstruct.cloud import PointCloud
from r2s_envs_objects.reconstruct.grid import Field, Grid, Samples, make_grid, solve
from r2s_envs_objects.reconstruct.tetrahedra import level_surface

SCREENING = 4.0  # weight of positions relative to normals, as in screened Poisson reconstruction
MARGIN = 4  # cells
#: Cells under the support plane. The surface closes there, and is cut off at the plane: far enough
#: not to be pulled in above the plane, near enough not to extend downwards as with a mirror image
#: (benchmarks/reconstruct.md has both).
BELOW = 32
SIMPLIFY = 0.1  # cells by which simplification may move the surface
AREA_NEIGHBOURS = 8
MAX_NODES = 20_000_000


def samples_of(cloud: PointCloud) -> Samples:
    """The points with the area that each represents: its share of the disc of its neighbours."""
    assert cloud.normals is not None
    distance = KDTree(cloud.points).query(cloud.points, k=AREA_NEIGHBOURS + 1)[0][:, -1]
    # A single point far from the others must not weigh as much as a wall.
    distance = np.minimum(distance, 3.0 * np.median(distance))
    return Samples(cloud.points, cloud.normals, np.pi * distance**2 / (AREA_NEIGHBOURS + 0.5))


def closed_surface(
    samples: Samples,
    step: float,
    support: float | None,
    free: Callable[[Grid], Field] | None,
    label: str,
) -> tuple[Floats, Ints]:
    """Vertices [n, 3] m and outward faces [m, 3] of the largest closed part.

    step: distance of the grid's nodes, m. support: height z of the plane on which the object
    stands and below which nothing was seen: the surface is cut flat there; None: no cut.
    """
    low, high = samples.points.min(axis=0), samples.points.max(axis=0)
    if support is not None:
        low[2] = support
    grid = make_grid(low, high, step, MARGIN, MARGIN if support is None else BELOW)
    if np.prod(grid.shape) > MAX_NODES:
        raise AssetError(
            f"{label}: {np.prod(grid.shape) / 1e6:.0f} million grid nodes, over the limit of "
            f"{MAX_NODES / 1e6:.0f}; lower --resolution"
        )
    solid = _solid(*level_surface(solve(grid, samples, SCREENING, free), 0.5))
    if support is not None:
        solid = solid.trim_by_plane((0.0, 0.0, 1.0), BELOW)
    parts = solid.decompose()
    if solid.status() != Error.NoError or not parts:
        raise AssetError(
            f"{label}: its {len(samples.points)} points enclose no volume; scan the object from "
            "all sides"
        )
    mesh = max(parts, key=lambda part: part.volume()).simplify(SIMPLIFY).to_mesh()
    vertices = np.asarray(mesh.vert_properties, np.float64)[:, :3]
    return grid.low + vertices * grid.step, np.asarray(mesh.tri_verts, np.int64)


def _solid(vertices: Floats, faces: Ints) -> Manifold:
    return Manifold(Mesh(vertices.astype(np.float32), faces.astype(np.uint32)))


def is_watertight(vertices: Floats, faces: Ints) -> bool:
    """Whether manifold3d accepts the mesh as a solid of positive volume."""
    solid = _solid(vertices - vertices.mean(axis=0), faces)
    return solid.status() == Error.NoError and solid.volume() > 0.0
