"""Depth folders as other programs write them: poses and scale are read as the views agree."""

from __future__ import annotations

import dataclasses
import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from r2s_core.errors import AssetError
from r2s_envs_objects.reconstruct import depth
from r2s_envs_objects.reconstruct.depth import DepthView, known
from r2s_envs_objects.reconstruct.readings import settled
from r2s_envs_objects.reconstruct.source import read

LOW, HIGH = np.array([-0.03, -0.02, 0.0]), np.array([0.03, 0.02, 0.08])  # of a box, m
SHAPE, FOCAL = (72, 96), 190.0
LENS = np.array([[FOCAL, 0.0, 47.5], [0.0, FOCAL, 35.5], [0.0, 0.0, 1.0]])
SCALE = 1e-4


def view_of_box(camera: np.ndarray) -> DepthView:
    """The box as a camera at a place [3] sees it that looks at its middle."""
    forward = (LOW + HIGH) / 2.0 - camera
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = camera
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    rays = np.stack([(column - 47.5) / FOCAL, (row - 35.5) / FOCAL, np.ones(SHAPE)], axis=-1)
    rays = rays @ pose[:3, :3].T
    ends = np.stack([(LOW - camera) / rays, (HIGH - camera) / rays])
    near, far = ends.min(axis=0).max(axis=-1), ends.max(axis=0).min(axis=-1)
    counts = np.where(near < far, np.rint(near / SCALE), 0).astype(np.uint16)
    return DepthView(counts, SCALE, LENS, pose)


def orbit(count: int = 6) -> list[DepthView]:
    turns = 2.0 * np.pi * np.arange(count) / count
    heights = 0.2 + 0.1 * (np.arange(count) % 2)
    return [view_of_box(np.array([0.35 * np.cos(a), 0.35 * np.sin(a), h]))
            for a, h in zip(turns, heights, strict=True)]  # fmt: skip


OPENGL, PYTORCH3D = np.diag([1.0, -1.0, -1.0, 1.0]), np.diag([-1.0, -1.0, 1.0, 1.0])
BODY = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])


def rotation_transposed(pose: np.ndarray) -> np.ndarray:
    pose = pose.copy()
    pose[:3, :3] = pose[:3, :3].T
    return pose


def positions_times(factor: float):
    return lambda pose: (
        np.diag([factor, factor, factor, 1.0])
        @ pose
        @ np.diag([1 / factor, 1 / factor, 1 / factor, 1.0])
    )


# What another program writes for a pose, how it writes the scale, and what we say of it.
WRITTEN = {
    "as documented": (lambda p: p, 1.0, "confirmed by other views"),
    "world to camera": (np.linalg.inv, 1.0, "world-to-camera"),
    "opengl": (lambda p: p @ OPENGL, 1.0, "OpenGL axes"),
    "opengl world to camera": (lambda p: np.linalg.inv(p @ OPENGL), 1.0, "OpenGL axes"),
    "pytorch3d": (lambda p: p @ PYTORCH3D, 1.0, "PyTorch3D axes"),
    "body": (lambda p: p @ BODY, 1.0, "body axes"),
    "rotations transposed": (rotation_transposed, 1.0, "transposed rotations"),
    "millimetres": (positions_times(1000.0), 1.0, "positions in millimetres"),
    "centimetres": (positions_times(100.0), 1.0, "positions in centimetres"),
    "scale as divisor": (lambda p: p, SCALE**-2, "a depth_scale of 0.0001"),
    "millimetres and opengl": (lambda p: positions_times(1e3)(p @ OPENGL), 1.0, "and positions in"),
    "all in millimetres": (positions_times(1000.0), 1000.0, "positions in millimetres and a depth"),
}


def written(views: list[DepthView], how: str) -> list[DepthView]:
    change, times, _ = WRITTEN[how]
    return [
        dataclasses.replace(v, camera_to_world=change(v.camera_to_world), scale=v.scale * times)
        for v in views
    ]


def motions(views: list[DepthView]) -> np.ndarray:
    poses = np.stack([view.camera_to_world for view in views])
    return np.linalg.inv(poses[0]) @ poses


@pytest.mark.parametrize("how", WRITTEN)
def test_poses_are_read_as_the_views_agree_and_so_said(how):
    views = orbit()
    read_so, findings = settled(written(views, how), "scan")
    assert read_so[0].scale == pytest.approx(SCALE)
    np.testing.assert_allclose(motions(read_so), motions(views), atol=1e-6)
    assert WRITTEN[how][2] in findings[0].what
    assert (findings[0].severity == "warning") == (how != "as documented")


def test_views_that_no_reading_brings_together_are_refused():
    views = orbit()
    mixed = [
        dataclasses.replace(v, camera_to_world=w.camera_to_world)
        for v, w in zip(views, [views[i] for i in (3, 5, 4, 1, 0, 2)], strict=True)
    ]
    for view in mixed:
        view.camera_to_world[:3, 3] *= np.random.default_rng(0).uniform(0.3, 2.0, 3)
    with pytest.raises(AssetError, match=r"contradict each other|do equally well") as error:
        settled(mixed, "scan")
    assert "\n" not in str(error.value)


def test_views_that_hardly_overlap_are_taken_with_a_warning():
    low = [view_of_box(np.array([x, 0.001, 0.04])) for x in (0.35, -0.35)]
    views, (finding,) = settled(low, "scan")
    assert views is low
    assert finding.severity == "warning"
    assert "hardly overlap" in finding.what


def test_one_view_has_its_depth_only():
    views, findings = settled(orbit()[:1], "scan")
    assert views[0].scale == SCALE
    assert not findings
    views, (finding,) = settled(written(orbit()[:1], "scale as divisor"), "scan")
    assert views[0].scale == pytest.approx(SCALE)
    assert "inverse" in finding.what
    with pytest.raises(AssetError, match=r"depths are about 3\d\d m"):
        settled([dataclasses.replace(orbit()[0], scale=0.1)], "scan")


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([400, 500, 65535], [400, 500, 0]),
        ([400, 1900, 2047], [400, 1900, 0]),  # 11 bits
        ([400, 500, 9000], [400, 500, 0]),  # far behind all else, everywhere the same
        ([400, 500, 900], [400, 500, 900]),  # a wall
        ([900, 900, 900], [900, 900, 900]),
        ([0, 0, 0], [0, 0, 0]),
    ],
)
def test_nothing_seen_is_not_a_far_wall(values, kept):
    counts, nothing = known(np.repeat(np.array(values, np.uint16), 50)[None])
    assert counts[0, ::50].tolist() == kept
    assert nothing == 50 * (values != kept)


def write_folder(folder: Path, views: list[DepthView], **changes: object) -> Path:
    folder.mkdir()
    frames = []
    for index, view in enumerate(views):
        Image.fromarray(view.counts).save(folder / f"{index}.png")
        pose = view.camera_to_world.tolist()
        frames.append({"depth": f"{index}.png", "camera_to_world": pose})
    lens = {"fx": FOCAL, "fy": FOCAL, "cx": 47.5, "cy": 35.5}
    settings = {"depth_scale": views[0].scale, "intrinsics": lens, "frames": frames}
    (folder / "cameras.json").write_text(json.dumps(settings | changes))
    return folder


def test_a_folder_of_transposed_poses_and_full_scale_background(tmp_path):
    views = [
        dataclasses.replace(v, counts=np.where(v.counts, v.counts, 65535).astype(np.uint16),
                            camera_to_world=v.camera_to_world.T)
        for v in orbit()
    ]  # fmt: skip
    cloud, _ = read(write_folder(tmp_path / "scan", views), "auto", None)
    off = np.maximum(LOW - cloud.points, cloud.points - HIGH).max(axis=1)  # from the box, if > 0
    np.testing.assert_allclose(off, 0.0, atol=2.0 * SCALE)
    said = " ".join(finding.what for finding in cloud.findings)
    assert "6 poses have their position in the last row: transposed" in said
    assert "saw nothing: dropped" in said


def png_header(width: int, height: int) -> bytes:
    """A PNG of this size that holds no pixels."""
    size = b"IHDR" + struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c))
              for c in (size, b"IDAT")]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a\0b.png", "cannot be the name of a file"),
        ("\ud800.png", "cannot be the name of a file"),
        ("x" * 300 + ".png", "cannot be"),
        ("/etc/passwd", "is outside the folder"),
        ("../other.png", "is outside the folder"),
        ("link.png", "is outside the folder"),
        ("loop.png", "cannot be"),
        ("fifo.png", "not a regular file"),
        (".", "a folder"),
        ("text.png", "another kind of file"),
        ("cut.png", "damaged"),
        ("huge.png", "over the limit of 16 million pixels"),
        ("missing.png", "no such file"),
        (7, "must name a PNG"),
    ],
)
def test_a_name_in_the_camera_file_is_a_png_in_the_folder(tmp_path, name, why):
    Image.fromarray(orbit(1)[0].counts).save(tmp_path / "other.png")
    frame = {"depth": name, "camera_to_world": np.eye(4).tolist()}
    folder = write_folder(tmp_path / "scan", orbit(1), frames=[frame])
    (folder / "link.png").symlink_to(tmp_path / "other.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "text.png").write_text("no image")
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:-60])
    (folder / "huge.png").write_bytes(png_header(20_000, 20_000))
    os.mkfifo(folder / "fifo.png")
    with pytest.raises(AssetError, match=why) as error:
        read(folder, "auto", None)
    assert str(error.value).startswith(str(folder))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


def test_links_and_absolute_names_within_the_folder_are_fine(tmp_path):
    folder = write_folder(tmp_path / "scan", orbit(3))
    (folder / "0.png").rename(folder / "real.png")
    (folder / "0.png").symlink_to("real.png")
    settings = json.loads((folder / "cameras.json").read_text())
    settings["frames"][1]["depth"] = str(folder / "1.png")
    (folder / "cameras.json").write_text(json.dumps(settings))
    assert len(read(folder, "auto", None)[0]) > 1000


def test_frames_that_name_one_image_are_refused_before_it_is_decoded(tmp_path):
    frame = {"depth": "0.png", "camera_to_world": np.eye(4).tolist()}
    folder = write_folder(tmp_path / "scan", orbit(1), frames=[frame] * 1000)
    with pytest.raises(AssetError, match="frames 0 and 1 both name"):
        read(folder, "auto", None)


def test_the_pixels_of_all_images_together_are_bounded(tmp_path):
    bomb = np.zeros((4000, 4000), np.uint16)
    Image.fromarray(bomb).save(tmp_path / "bomb.png")
    links = [tmp_path / f"{i}.png" for i in range(30)]
    for link in links:
        os.link(tmp_path / "bomb.png", link)
    with pytest.raises(AssetError, match="more than 320 million pixels"):
        depth.stride_for(links, "scan")
    assert depth.stride_for(links[:2], "scan") == 1
    assert depth.stride_for(links[:19], "scan") == 3  # 304 million: every third row and column


def test_a_coarser_view_is_of_the_same_world():
    view = orbit(1)[0]
    coarse = view.coarser(3)
    row, column = np.nonzero(coarse.counts)
    np.testing.assert_allclose(coarse.world(row, column), view.world(3 * row, 3 * column))


def test_a_mask_of_another_size_is_not_decoded(tmp_path):
    folder = write_folder(tmp_path / "scan", orbit(1))
    Image.fromarray(np.zeros((4000, 4000), np.uint8)).save(folder / "mask.png")
    settings = json.loads((folder / "cameras.json").read_text())
    settings["frames"][0]["mask"] = "mask.png"
    (folder / "cameras.json").write_text(json.dumps(settings))
    with pytest.raises(AssetError, match="4000 x 4000 pixels, but its depth image has 96 x 72"):
        read(folder, "auto", None)
