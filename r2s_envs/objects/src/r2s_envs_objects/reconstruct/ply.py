"""PLY point clouds. Faces, if any, are ignored."""

from __future__ import annotations

from r2s_core.errors import AssetError
from r2s_envs_objects.formats import ply
from r2s_envs_objects.reconstruct.cloud import PointCloud, check_count, finite_cloud, stacked


def parse(data: bytes, label: str) -> PointCloud:
    """The vertices of a file's content, in its own unit; AssetError if it contradicts itself."""
    header = ply.read_header(data, label, "cloud")
    if not any(element.name == "vertex" for element in header.elements):
        raise AssetError(f"{label}: a PLY file without vertices; export a point cloud")
    check_count(header.rows("vertex"), label)
    columns = ply.read_elements(data, header, {"vertex"}, label)["vertex"]
    columns = {name: column for name, column in columns.items() if not isinstance(column, tuple)}
    points = stacked(columns, ("x", "y", "z"))
    if points is None:
        raise AssetError(
            f"{label}: its vertices hold {' '.join(columns)}, without x y z; export positions"
        )
    return finite_cloud(points, stacked(columns, ("nx", "ny", "nz")), None, label)
