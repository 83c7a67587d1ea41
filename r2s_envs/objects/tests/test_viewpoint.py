"""A cloud's viewpoint and normals are claims: believed where the points agree, and all or none."""

from __future__ import annotations

import numpy as np
import pytest

from r2s_envs_objects.reconstruct import pcd
from r2s_envs_objects.reconstruct.cloud import PointCloud
from r2s_envs_objects.reconstruct.normals import with_normals
from r2s_envs_objects.reconstruct.pipeline import reconstruct
from r2s_envs_objects.reconstruct.source import read
from r2s_envs_objects.reconstruct.viewpoint import checked

RADIUS, HEIGHT = 0.033, 0.1
VOLUME = np.pi * RADIUS**2 * HEIGHT
CAMERA = np.array([0.4, 0.1, 0.3])
DEFAULT = np.zeros(3)


def can(count: int = 2500) -> tuple[np.ndarray, np.ndarray]:
    """Points and outward normals on a can that stands at the origin, its underside unseen."""
    rng = np.random.default_rng(0)
    angle, lid = rng.uniform(0.0, 2.0 * np.pi, count), rng.random(count) < 0.14
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    radius = np.where(lid, RADIUS * np.sqrt(rng.random(count)), RADIUS)
    height = np.where(lid, HEIGHT, rng.uniform(0.0, HEIGHT, count))
    points = np.column_stack([around * radius[:, None], height])
    normals = np.where(lid[:, None], [0.0, 0.0, 1.0], np.column_stack([around, np.zeros(count)]))
    return points, normals


def one_view() -> tuple[np.ndarray, np.ndarray]:
    """What CAMERA sees of the can, in a frame whose origin it is."""
    points, normals = can()
    seen = ((CAMERA - points) * normals).sum(axis=1) > 0.03
    return points[seen] - CAMERA, normals[seen]


def write_pcd(path, points, normals=None, viewpoint="0 0 0 1 0 0 0", height=1):
    names = "x y z" if normals is None else "x y z normal_x normal_y normal_z"
    table = points if normals is None else np.concatenate([points, normals], axis=1)
    k = table.shape[1]
    lines = [
        "VERSION 0.7", f"FIELDS {names}", "SIZE" + " 4" * k, "TYPE" + " F" * k, "COUNT" + " 1" * k,
        f"WIDTH {len(table) // height}", f"HEIGHT {height}", f"POINTS {len(table)}", "DATA binary",
    ]  # fmt: skip
    if viewpoint:
        lines.insert(-2, f"VIEWPOINT {viewpoint}")
    path.write_bytes("\n".join(lines).encode() + b"\n" + table.astype("<f4").tobytes())
    return path


def with_viewpoint(points: np.ndarray, view: np.ndarray) -> PointCloud:
    return PointCloud(points, None, np.broadcast_to(view, points.shape))


def outward(cloud: PointCloud, normals: np.ndarray) -> float:
    """The share of points whose normals come out as they should."""
    assert cloud.normals is not None
    return float(((cloud.normals * normals).sum(axis=1) > 0.5).mean())


PLACES = {
    "amid": [0.0, 0.0, 0.0],
    "below": [0.0, 0.0, 0.3],
    "on a high table": [0.0, 0.0, 0.75],
    "beside": [0.5, 0.1, 0.0],
    "in the first camera's frame": -CAMERA,
}


@pytest.mark.parametrize("place", PLACES)
def test_a_default_viewpoint_under_or_beside_a_whole_object_is_not_believed(place):
    points, _ = can()
    cloud = checked(with_viewpoint(points + PLACES[place], DEFAULT))
    assert cloud.viewpoints is None
    assert "viewpoint (0 0 0) is ignored" in cloud.findings[-1].what


@pytest.mark.parametrize(
    ("place", "believed"), [([0.0, 0.0, 0.6], False), ([0.3, 0.0, -0.6], True)]
)
def test_a_table_hides_what_stands_on_it_from_below(place, believed):
    rng = np.random.default_rng(0)
    table = np.column_stack([rng.uniform(-0.3, 0.3, (20_000, 2)), np.zeros(20_000)])
    points = np.concatenate([table, can()[0]]) + place
    cloud = checked(with_viewpoint(points, DEFAULT), scene=True)
    assert (cloud.viewpoints is not None) == believed
    assert ("table would hide" in cloud.findings[-1].what) != believed


def test_a_single_view_that_agrees_is_believed_and_said_so():
    points, normals = one_view()
    cloud = checked(with_viewpoint(points, DEFAULT))
    assert cloud.viewpoints is not None
    assert "agrees with the points" in cloud.findings[-1].what
    oriented, _ = with_normals(cloud)
    assert outward(oriented, normals) > 0.97


def test_a_written_viewpoint_is_judged_by_the_points_too():
    points, _ = one_view()
    assert checked(with_viewpoint(points + CAMERA, CAMERA)).viewpoints is not None
    points, _ = can()
    assert checked(with_viewpoint(points, CAMERA)).viewpoints is None


@pytest.mark.parametrize("line", ["0 0 0 1 0 0 0", None])
def test_the_default_line_does_not_change_the_volume(tmp_path, line):
    path = write_pcd(tmp_path / "can.pcd", can()[0], viewpoint=line)
    cloud, _ = read(path, "auto", None)
    result = reconstruct(cloud, "can", 40)
    assert result.volume == pytest.approx(VOLUME, rel=0.04)


def given(kind: str, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    if kind == "turned":
        return -normals
    if kind == "towards the origin":  # as PCL estimates them of a whole object beside it
        return np.where((normals * points).sum(axis=1, keepdims=True) > 0.0, -normals, normals)
    if kind == "at random":
        return normals * np.random.default_rng(1).choice([-1.0, 1.0], (len(normals), 1))
    if kind == "nonsense":
        return np.roll(normals, 1, axis=1)[np.random.default_rng(1).permutation(len(normals))]
    return normals


GIVEN = {
    "right": None,
    "turned": "all flipped",
    "towards the origin": "found anew",
    "at random": "found anew",
    "nonsense": "do not fit",
}


@pytest.mark.parametrize("line", ["0 0 0 1 0 0 0", None])
@pytest.mark.parametrize("kind", GIVEN)
def test_given_normals_are_kept_turned_or_dropped_as_a_whole(tmp_path, kind, line):
    points, normals = can()
    points = points + np.array([0.5, 0.1, 0.0])
    path = write_pcd(tmp_path / "can.pcd", points, given(kind, points, normals), line)
    cloud, sight = with_normals(read(path, "auto", None)[0])
    assert sight.ambiguous < 0.25
    assert outward(cloud, normals) > (0.999 if kind in ("right", "turned") else 0.96)
    said = " ".join(finding.what for finding in cloud.findings)
    assert (GIVEN[kind] or ("ignored" if line else "")) in said
    assert ("normals" in said) == (kind != "right")


@pytest.mark.parametrize("kind", ["right", "turned", "at random"])
def test_given_normals_of_a_single_view(tmp_path, kind):
    points, normals = one_view()
    path = write_pcd(tmp_path / "half.pcd", points, given(kind, points, normals))
    cloud, _ = with_normals(read(path, "auto", None)[0])
    assert cloud.viewpoints is not None
    assert outward(cloud, normals) > (0.999 if kind != "at random" else 0.97)


@pytest.mark.parametrize("world", [False, True])
def test_an_organised_cloud_proves_its_viewpoint_or_not(tmp_path, world):
    """A pit looked into from above: only the pixels tell that it was not a hill from below."""
    row, column = np.mgrid[:60, :80]
    depth = 0.4 + 0.1 * np.exp(-(((row - 30) / 12) ** 2) - ((column - 40) / 12) ** 2)
    points = np.stack([(column - 40) / 100 * depth, (row - 30) / 100 * depth, depth], axis=-1)
    points[:5, :7] = np.nan  # where the sensor saw nothing
    if world:
        points = points * [1.0, -1.0, -1.0] + [0.0, 0.0, 0.9]
    path = write_pcd(tmp_path / "pit.pcd", points.reshape(-1, 3), height=60)
    assert pcd.parse(path.read_bytes(), "pit").seen is not world
