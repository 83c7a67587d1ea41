"""Point clouds and depth images become closed meshes that the object pipeline takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from r2s_core import cli
from r2s_core.errors import AssetError
from r2s_envs_objects import ObjectOptions, load_object
from r2s_envs_objects.reconstruct import output
from r2s_envs_objects.reconstruct.cloud import PointCloud
from r2s_envs_objects.reconstruct.pipeline import reconstruct
from r2s_envs_objects.reconstruct.surface import is_watertight
from r2s_envs_objects.reconstruct.tetrahedra import level_surface

SCANS = Path(__file__).resolve().parents[4] / "shared" / "scans"
CELLS = 40  # coarse, so quick
CUP_RADIUS, CUP_WALL, CUP_HEIGHT = 0.04, 0.006, 0.09
CAMERAS = [
    0.5 * np.array([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)])
    for a in np.linspace(0.0, 2.0 * np.pi, 8, endpoint=False)
    for e in (0.25, 1.2)
]


def box(count: int = 12_000) -> tuple[np.ndarray, np.ndarray]:
    """Points and outward normals on a 60 x 40 x 80 mm box standing on z = 0, underside unseen."""
    mesh = trimesh.creation.box((0.06, 0.04, 0.08))
    mesh.apply_translation((0.0, 0.0, 0.04))
    points, faces = trimesh.sample.sample_surface(mesh, count, seed=0)[:2]
    normals = np.asarray(mesh.face_normals)[faces]
    seen = normals[:, 2] > -0.5
    return np.asarray(points)[seen], normals[seen]


def cup(count: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """Points and normals on a cup with a thin wall and floor, inside too, underside unseen."""
    inner = CUP_RADIUS - CUP_WALL
    profile = [(0, 0), (CUP_RADIUS, 0), (CUP_RADIUS, CUP_HEIGHT), (inner, CUP_HEIGHT),
               (inner, CUP_WALL), (0, CUP_WALL)]  # fmt: skip
    mesh = trimesh.creation.revolve(np.array(profile), sections=64)
    points, faces = trimesh.sample.sample_surface(mesh, count, seed=0)[:2]
    normals = np.asarray(mesh.face_normals)[faces]
    seen = normals[:, 2] > -0.5
    return np.asarray(points)[seen], normals[seen]


CUP_VOLUME = np.pi * (CUP_RADIUS**2 * CUP_HEIGHT - (CUP_RADIUS - CUP_WALL) ** 2 * (0.09 - CUP_WALL))


def noisy(points: np.ndarray, sigma: float = 0.0005, outliers: float = 0.01) -> np.ndarray:
    rng = np.random.default_rng(1)
    points = points + rng.normal(0.0, sigma, points.shape)
    wrong = rng.random(len(points)) < outliers
    points[wrong] += rng.uniform(-0.03, 0.03, (int(wrong.sum()), 3))
    return points


def viewpoints_of(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """The camera that looks at each point most directly; one above for the inside of a cup."""
    away = np.stack(CAMERAS)[None] - points[:, None]
    cosine = (away * normals[:, None]).sum(axis=2) / np.linalg.norm(away, axis=2)
    views = np.stack(CAMERAS)[cosine.argmax(axis=1)]
    inside = np.linalg.norm(points[:, :2], axis=1) < CUP_RADIUS - CUP_WALL / 2
    views[inside] = [0.0, 0.0, 0.5]
    return views


def save_ply(path: Path, points: np.ndarray) -> Path:
    trimesh.PointCloud(points).export(path)
    return path


def reconstruct_cli(capsys, *arguments: object) -> tuple[int, str, str]:
    status = cli.main(["object", "reconstruct", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_noisy_cloud_becomes_a_mesh_that_the_pipeline_takes(tmp_path, capsys):
    points, _ = box()
    source = save_ply(tmp_path / "carton.ply", noisy(points) + np.array([0.3, 0.1, 0.75]))
    target = tmp_path / "out" / "carton.stl"
    status, out, _ = reconstruct_cli(capsys, source, "-o", target, "--resolution", CELLS)
    assert status == 0
    assert "closed" in out
    asset = load_object(target, ObjectOptions(max_pieces=1))
    np.testing.assert_allclose(asset.size, [0.06, 0.04, 0.08], atol=0.003)
    assert asset.volume == pytest.approx(0.06 * 0.04 * 0.08, rel=0.04)
    record = json.loads(target.with_suffix(".json").read_text())
    assert record["kind"] == "closed"
    assert any("underside" in finding["what"] for finding in record["findings"])
    back = np.linalg.inv(record["source_to_mesh"])
    np.testing.assert_allclose(back[:3, 3], [0.3, 0.1, 0.75], atol=0.003)


@pytest.mark.parametrize("known", [True, False])
def test_a_cup_stays_hollow(known):
    points, normals = cup()
    views = viewpoints_of(points, normals) if known else None
    result = reconstruct(PointCloud(noisy(points), viewpoints=views), "cup", 64)
    assert result.kind == "closed"
    assert result.volume == pytest.approx(CUP_VOLUME, rel=0.25)


def test_an_object_seen_from_below_too_is_not_cut():
    ball = trimesh.creation.icosphere(subdivisions=5, radius=0.03)
    points = noisy(np.asarray(ball.vertices))
    result = reconstruct(PointCloud(points), "ball", CELLS)
    assert result.volume == pytest.approx(4 / 3 * np.pi * 0.03**3, rel=0.03)
    assert result.unseen < 0.02
    assert not any("cut flat" in finding.what for finding in result.findings)
    assert is_watertight(result.vertices, result.faces)


@pytest.mark.parametrize("known", [True, False])
def test_a_one_sided_cloud_is_only_its_hull_and_said_so(known):
    points, normals = box()
    seen = normals @ [1.0, 0.4, 0.2] > 0.1
    views = np.tile([0.5, 0.2, 0.3], (int(seen.sum()), 1)) if known else None
    result = reconstruct(PointCloud(points[seen], viewpoints=views), "half", CELLS)
    assert result.kind == "hull"
    (warning,) = [f.what for f in result.findings if f.severity == "warning"]
    assert "partial scan" in warning
    assert "from all sides" in warning
    assert is_watertight(result.vertices, result.faces)


def test_inward_normals_of_a_file_are_turned():
    points, normals = box()
    inward = reconstruct(PointCloud(points, -normals), "box", CELLS)
    assert inward.volume == pytest.approx(0.06 * 0.04 * 0.08, rel=0.04)
    assert any("point inward" in finding.what for finding in inward.findings)


def test_strays_do_not_blow_the_object_up():
    points, _ = box()
    clump = np.random.default_rng(0).normal(0.0, 0.001, (60, 3)) + 0.1
    result = reconstruct(PointCloud(np.concatenate([points, clump])), "box", CELLS)
    assert result.volume == pytest.approx(0.06 * 0.04 * 0.08, rel=0.04)
    assert any("stray" in finding.what for finding in result.findings)


def table_scene(tilt: np.ndarray) -> np.ndarray:
    """A table with a box and a cup on it, and something that flies; tilted."""
    rng = np.random.default_rng(0)
    table = np.column_stack([rng.uniform(-0.4, 0.4, (60_000, 2)), np.zeros(60_000)])
    boxes, cups = box()[0] + [0.12, 0.0, 0.0], cup(25_000)[0] + [-0.12, 0.05, 0.0]
    fly = rng.normal(0.0, 0.008, (3000, 3)) + np.array([0.0, -0.2, 0.15])
    points = np.concatenate([table, boxes, cups, fly])
    return (points + rng.normal(0.0, 0.0005, points.shape)) @ tilt.T


@pytest.mark.parametrize("tilted", [False, True])
def test_a_table_is_split_into_its_objects(tmp_path, capsys, tilted):
    angle = 0.6 if tilted else 0.0
    c, s = np.cos(angle), np.sin(angle)
    tilt = np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    source = save_ply(tmp_path / "scene.ply", table_scene(tilt))
    folder = tmp_path / "objects"
    arguments = (source, "--segment", "-o", folder, "--resolution", CELLS)
    status, out, _ = reconstruct_cli(capsys, *arguments)
    assert status == 0
    assert "hover" in out
    meshes = sorted(folder.glob("*.ply"))
    assert [mesh.name for mesh in meshes] == ["object_0.ply", "object_1.ply"]
    records = [json.loads(mesh.with_suffix(".json").read_text()) for mesh in meshes]
    heights = sorted(record["extents_m"][2] for record in records)
    np.testing.assert_allclose(heights, [0.08, CUP_HEIGHT], atol=0.003)


def test_a_scene_without_segment_is_warned_about(tmp_path, capsys):
    source = save_ply(tmp_path / "scene.ply", table_scene(np.eye(3)))
    _, out, err = reconstruct_cli(capsys, source, "-o", tmp_path / "a.ply", "--resolution", 32)
    assert "--segment" in out + err


def test_segment_without_a_table_is_refused(tmp_path, capsys):
    ball = np.asarray(trimesh.creation.icosphere(subdivisions=5, radius=0.1).vertices)
    status, _, err = reconstruct_cli(capsys, save_ply(tmp_path / "b.ply", ball), "--segment")
    assert status == 1
    assert "no table" in err
    assert err.count("\n") == 1


def sphere_view(camera: np.ndarray, radius: float, centre: np.ndarray) -> tuple[np.ndarray, ...]:
    """Depth [160, 160] m of a sphere, 0 elsewhere, and the pose [4, 4]; focal length 400."""
    forward = (centre - camera) / np.linalg.norm(centre - camera)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = camera
    column, row = np.meshgrid(np.arange(160), np.arange(160))
    rays = np.stack([(column - 79.5) / 400, (row - 79.5) / 400, np.ones((160, 160))], axis=-1)
    away = np.linalg.norm(centre - camera)
    square, along = (rays**2).sum(axis=-1), rays[..., 2] * away
    inside = along**2 - square * (away**2 - radius**2)
    depth = np.where(inside > 0.0, (along - np.sqrt(np.maximum(inside, 0.0))) / square, 0.0)
    return depth, pose


def depth_folder(folder: Path, **changes: object) -> Path:
    """Eight views of a sphere of 30 mm radius at (0.1, 0, 0.03), as a depth folder."""
    folder.mkdir()
    frames, centre = [], np.array([0.1, 0.0, 0.03])
    for index, camera in enumerate(CAMERAS[::2] + CAMERAS[1::4]):
        depth, pose = sphere_view(camera + centre, 0.03, centre)
        Image.fromarray(np.rint(depth * 10_000).astype(np.uint16)).save(folder / f"{index}.png")
        frames.append({"depth": f"{index}.png", "camera_to_world": pose.tolist()})
    settings = {
        "depth_scale": 1e-4,
        "intrinsics": {"fx": 400, "fy": 400, "cx": 79.5, "cy": 79.5},
        "frames": frames,
    }
    (folder / "cameras.json").write_text(json.dumps(settings | changes))
    return folder


def test_depth_images_with_poses_become_a_mesh(tmp_path, capsys):
    folder = depth_folder(tmp_path / "scan")
    target = tmp_path / "ball.ply"
    status, out, _ = reconstruct_cli(capsys, folder, "-o", target, "--resolution", CELLS)
    assert status == 0
    assert "12 depth images" in out
    mesh = trimesh.load(target, process=False)
    assert isinstance(mesh, trimesh.Trimesh)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.03**3, rel=0.06)
    record = json.loads(target.with_suffix(".json").read_text())
    move = np.array(record["source_to_mesh"])
    np.testing.assert_allclose(move[:2, 3], [-0.1, 0.0], atol=0.002)


POSE = np.eye(4).tolist()
BAD_FOLDERS = {
    "no frames": ({"frames": []}, "`frames` must be a list"),
    "no scale": ({"depth_scale": None}, "`depth_scale` must be a positive number, not None"),
    "outside": ({"frames": [{"depth": "../../x.png"}]}, "is outside the folder"),
    "missing": ({"frames": [{"depth": "x.png", "camera_to_world": POSE}]}, "no such file"),
    "pose": ({"frames": [{"depth": "0.png"}]}, "must be 4 x 4"),
    "mirror": (
        {"frames": [{"depth": "0.png", "camera_to_world": np.diag([1, 1, -1, 1]).tolist()}]},
        "not a rotation",
    ),
    "lens": ({"intrinsics": {"fx": 0, "fy": 1, "cx": 0, "cy": 0}}, "`fx` must be a positive"),
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_a_wrong_camera_file_is_named_in_one_sentence(tmp_path, capsys, name):
    changes, why = BAD_FOLDERS[name]
    folder = depth_folder(tmp_path / "scan", **changes)
    status, _, err = reconstruct_cli(capsys, folder)
    assert status == 1
    assert why in err
    assert err.startswith(str(folder))
    assert err.count("\n") == 1


def test_an_image_that_is_none_and_an_empty_folder(tmp_path, capsys):
    folder = depth_folder(tmp_path / "scan")
    (folder / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"junk" * 50)
    _, _, err = reconstruct_cli(capsys, folder)
    assert "cannot be read as PNG" in err
    (tmp_path / "empty").mkdir()
    _, _, err = reconstruct_cli(capsys, tmp_path / "empty")
    assert "no cameras.json" in err


def test_the_cloud_itself_is_not_overwritten(tmp_path, capsys):
    source = save_ply(tmp_path / "a.ply", box()[0])
    before = source.read_bytes()
    status, _, err = reconstruct_cli(capsys, source, "-o", source)
    assert status == 1
    assert "is the cloud itself" in err
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("theirs", "content"),
    [
        ("package.json", '{"name": "their-project", "version": "1.0.0"}'),
        ("package.json", "[]"),
        ("package.json", "not JSON"),
        ("package.ply", "somebody's mesh"),
        ("package.json", None),  # a link that leads nowhere
        ("package.ply", None),
    ],
)
def test_what_is_not_a_reconstruction_is_not_overwritten(tmp_path, theirs, content):
    if content is None:
        (tmp_path / theirs).symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / theirs).write_text(content)
    with pytest.raises(AssetError, match="choose another name with -o"):
        output.check(tmp_path / "package.ply")
    assert not (tmp_path / "elsewhere").exists()


def test_an_earlier_reconstruction_is_replaced_and_nothing_else(tmp_path, capsys):
    source = save_ply(tmp_path / "a.ply", box(3000)[0])
    arguments = (source, "-o", tmp_path / "mesh.ply", "--resolution", 16)
    assert reconstruct_cli(capsys, *arguments)[0] == 0
    assert reconstruct_cli(capsys, *arguments)[0] == 0
    theirs = tmp_path / "mesh.stl"
    theirs.write_text("another's mesh of the same name")
    status, _, err = reconstruct_cli(capsys, source, "-o", theirs)
    assert status == 1
    assert "mesh.stl: exists" in err
    assert theirs.read_text() == "another's mesh of the same name"


def test_points_on_a_plane_are_refused():
    rng = np.random.default_rng(0)
    flat = np.column_stack([rng.uniform(0.0, 0.1, (5000, 2)), np.zeros(5000)])
    with pytest.raises(AssetError, match="enclose no"):
        reconstruct(PointCloud(flat), "sheet", CELLS)


def test_marching_tetrahedra_are_closed_even_on_noise():
    field = np.full((14, 14, 14), -1.0, np.float32)
    field[2:-2, 2:-2, 2:-2] = np.random.default_rng(0).choice([-1.0, 0.0, 0.5, 1.0], (10, 10, 10))
    vertices, faces = level_surface(field, 0.0)
    assert is_watertight(vertices, faces)


def test_help_is_light():
    code = (
        "import sys, argparse; from r2s_envs_objects.cli import reconstruct;"
        "reconstruct.configure(argparse.ArgumentParser());"
        "assert not {'numpy', 'scipy', 'trimesh', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


real = pytest.mark.skipif(not SCANS.is_dir(), reason=f"no scans in {SCANS}")


@real
def test_a_real_single_object(tmp_path, capsys):
    target = tmp_path / "spray.ply"
    source = SCANS / "clouds" / "gpd_krylon_spray.pcd"
    assert reconstruct_cli(capsys, source, "-o", target)[0] == 0
    assert load_object(target, ObjectOptions(max_pieces=1)).volume == pytest.approx(2.2e-4, rel=0.1)
    extents = json.loads(target.with_suffix(".json").read_text())["extents_m"]
    np.testing.assert_allclose(extents, [0.056, 0.055, 0.105], atol=0.004)


@real
@pytest.mark.parametrize("name", ["gpd_table_mug_scene.pcd", "pcl_stereo_mug_scene.pcd"])
def test_real_tabletop_scenes_give_their_one_mug(tmp_path, capsys, name):
    folder = tmp_path / "objects"
    arguments = (SCANS / "clouds" / name, "--segment", "-o", folder)
    status, out, _ = reconstruct_cli(capsys, *arguments)
    assert status == 0
    assert "partial scan" in out
    (mesh,) = folder.glob("*.ply")
    size = load_object(mesh, ObjectOptions(max_pieces=1, force=True)).size
    assert 0.09 < size[2] < 0.13
    assert size[:2].max() < 0.16


@real
def test_real_depth_images_with_masks(tmp_path, capsys):
    target = tmp_path / "tissues.ply"
    status, out, _ = reconstruct_cli(capsys, SCANS / "rgbd", "-o", target)
    assert status == 0
    assert "3 depth images" in out
    assert "partial scan" in out
    assert os.path.getsize(target) > 1000


@real
def test_the_lying_header_is_refused(capsys):
    status, _, err = reconstruct_cli(capsys, SCANS / "dirty" / "lying_pcd_header.pcd")
    assert status == 1
    assert "2000000000 points" in err
