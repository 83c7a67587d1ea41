"""A shadow run of a policy that sees, on the videos and depths of a LeRobot data set."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r2s_deploy import bundle as bundles
from r2s_deploy import cli
from r2s_deploy.errors import DeployError
from r2s_deploy.recorded.read import read
from r2s_deploy.recorded.video import cv2, frames
from r2s_deploy.shadow import shadow

from .test_lerobot_log import READY, V2, V3, table

SIZE, COUNT, BEFORE = (16, 12), 9, 4
VIDEO = "observation.images.front"
LEVELS = 40 + 20 * np.arange(COUNT)
PATHS = {
    "v3.0": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    "v2.1": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
}


@pytest.fixture(scope="module")
def bundle(seeing_dir):
    return bundles.load(seeing_dir)


def film(path, levels, rate, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
    for level in levels:
        image = np.full((size[1], size[0], 3), level, np.uint8)
        image[..., 0] = 0  # blue, green, red
        writer.write(image)
    writer.release()


def write(folder, bundle, version, depth="front_depth", size=SIZE):
    """The second of two episodes is filmed; in version 3 both are in one file."""
    rate, is_new = bundle.rate, version == "v3.0"
    joints = list(bundle.robot["joints"]["names"])
    features = {
        "observation.state": {"dtype": "float32", "shape": [7], "names": joints},
        VIDEO: {"dtype": "video", "shape": [size[1], size[0], 3], "names": None},
        f"observation.{depth}": {"dtype": "uint16", "shape": [12, 16, 1], "names": None},
    }
    info = {
        "codebase_version": version,
        "fps": rate,
        "total_episodes": 2,
        "chunks_size": 1000,
        "data_path": V3 if is_new else V2,
        "video_path": PATHS[version],
        "features": features,
    }
    (folder / "meta/episodes/chunk-000").mkdir(parents=True)
    (folder / "data/chunk-000").mkdir(parents=True)
    (folder / "meta/info.json").write_text(json.dumps(info))
    rows = table(0.0, 1, {"observation.state": np.tile(READY, (COUNT, 1))}, rate)
    depths = [np.full((12, 16, 1), 700 + i, np.uint16).tolist() for i in range(COUNT)]
    nested = pa.array(depths, pa.list_(pa.list_(pa.list_(pa.uint16()))))
    rows = rows.append_column(f"observation.{depth}", nested)
    if is_new:
        place = {f"{of}/{name}": [0, 0] for of in ("data", f"videos/{VIDEO}") for name in (
            "chunk_index", "file_index")}  # fmt: skip
        place |= {"episode_index": [0, 1], f"videos/{VIDEO}/from_timestamp": [0.0, BEFORE / rate]}
        pq.write_table(pa.table(place), folder / "meta/episodes/chunk-000/file-000.parquet")
        pq.write_table(rows, folder / "data/chunk-000/file-000.parquet")
        levels = [0] * BEFORE + list(LEVELS)
        film(folder / f"videos/{VIDEO}/chunk-000/file-000.mp4", levels, rate, size)
    else:
        pq.write_table(rows, folder / "data/chunk-000/episode_000001.parquet")
        film(folder / f"videos/chunk-000/{VIDEO}/episode_000001.mp4", LEVELS, rate, size)
    return folder


POSE = np.array([0.5, 0.0, 0.03, 1.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_the_policy_acts_on_the_images_of_the_episode(bundle, seeing_dir, tmp_path, version):
    """Its action is the mean of the colours, anew in every second control step."""
    folder = write(tmp_path / "x", bundle, version)
    log = read(folder, bundle, episode=1)
    assert log.images is not None
    assert log.images["front"].shape == (COUNT, 12, 16, 3)
    np.testing.assert_allclose(log.images["front"][:, 6, 8, 0], LEVELS, atol=6)  # red is first
    assert log.images["front"][..., 2].max() < 12
    np.testing.assert_array_equal(log.images["front_depth"][:, 0, 0, 0], 700 + np.arange(COUNT))
    found = shadow(bundle, log, goal=POSE[:3], thing=POSE)
    newest = LEVELS[np.arange(COUNT) // 2 * 2]
    np.testing.assert_allclose(found.actions[:, 0], newest * (2 / 3) / 255, atol=0.02)
    page = str(tmp_path / "page.html")
    command = ["shadow", str(seeing_dir), str(folder), "--episode", "1", "-o", page, "--goal"]
    assert cli.main([*command, "0.5", "0", "0.3", "--object", *map(str, POSE)]) == 0


def test_an_image_of_another_name_is_said(bundle, tmp_path):
    folder = write(tmp_path / "x", bundle, "v3.0", depth="far")
    with pytest.raises(
        DeployError,
        match=r"reads the image front_depth, and there is no observation\.images\.front_depth; it "
        r"has observation\.images\.front \[12, 16, 3\], observation\.far .*--columns front_depth=F",
    ):
        read(folder, bundle, episode=1)
    log = read(folder, bundle, episode=1, columns={"front_depth": "observation.far"})
    assert log.images is not None
    assert log.images["front_depth"].dtype == np.uint16


def test_images_of_another_size_are_refused(bundle, tmp_path):
    folder = write(tmp_path / "x", bundle, "v3.0", size=(32, 24))
    with pytest.raises(DeployError, match=r"front is \[24, 32, 3\], and the policy reads front as"):
        read(folder, bundle, episode=1)


def test_a_log_without_images_is_refused(bundle, seeing_dir, tmp_path, capsys):
    path = tmp_path / "log.csv"
    joints = bundle.robot["joints"]["names"]
    rows = [",".join(map(str, [t, *READY])) for t in (0.0, 0.1)]
    path.write_text("\n".join([",".join(["time", *joints]), *rows]))
    assert cli.main(["shadow", str(seeing_dir), str(path), "-o", str(tmp_path / "x.html")]) == 1
    assert "reads the image front, and the log has none; images are" in capsys.readouterr().err


def test_a_video_that_is_not_what_it_should_be_is_refused(tmp_path):
    path = tmp_path / "video.mp4"
    film(path, [10, 20, 30], 25.0)
    np.testing.assert_allclose(frames(path, 0.04, 2, 25.0, SIZE)[:, 0, 0, 0], [20, 30], atol=6)
    for options, says in (
        ((0.0, 4, 25.0, SIZE), "ends before the episode does"),
        ((0.04, 3, 25.0, SIZE), "ends before the episode does"),
        (
            (0.0, 3, 50.0, SIZE),
            "has 25 images a second of 16 x 12 pixels, and by meta/info",
        ),
        ((0.0, 3, 25.0, (12, 16)), r"16 x 12 pixels, and by meta/info\.json 25 of 12 x 16"),
        ((1e9, 3, 25.0, SIZE), "is no MP4 file with images from 1e"),
    ):
        with pytest.raises(DeployError, match=says):
            frames(path, *options)
    # What decoders would take for a list of other files is not given to them.
    path.write_text("#EXTM3U\nhttp://127.0.0.1/secret.ts\n")
    with pytest.raises(DeployError, match="is no MP4 file"):
        frames(path, 0.0, 1, 25.0, SIZE)
    path.write_bytes(b"\0\0\0\x20ftypisom" + bytes(100))
    with pytest.raises(DeployError, match="cannot be decoded by OpenCV"):
        frames(path, 0.0, 1, 25.0, SIZE)
