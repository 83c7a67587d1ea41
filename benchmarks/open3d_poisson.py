"""Open3D's Poisson reconstruction, for `reconstruct.py`; runs in an interpreter that has open3d.

    PYTHON benchmarks/open3d_poisson.py IN.npz OUT.npz

IN: points, viewpoints [n, 3]. OUT: vertices and faces at depth 7, before the cut; seconds.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import open3d  # pyright: ignore[reportMissingImports]


def main(source: str, result: str) -> None:
    """Remove outliers, orient normals to the viewpoints, Poisson: as in its tutorial."""
    with np.load(source) as file:
        points, viewpoints = file["points"], file["viewpoints"]
    start = time.process_time()
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud, kept = cloud.remove_statistical_outlier(20, 2.0)
    cloud.estimate_normals(open3d.geometry.KDTreeSearchParamKNN(30))
    normals = np.asarray(cloud.normals)
    towards = viewpoints[np.asarray(kept)] - np.asarray(cloud.points)
    sign = np.where((towards * normals).sum(axis=1) < 0.0, -1.0, 1.0)
    cloud.normals = open3d.utility.Vector3dVector(normals * sign[:, None])
    mesh, _ = open3d.geometry.TriangleMesh.create_from_point_cloud_poisson(cloud, depth=7)
    np.savez(
        result,
        vertices=np.asarray(mesh.vertices),
        faces=np.asarray(mesh.triangles),
        seconds=time.process_time() - start,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
