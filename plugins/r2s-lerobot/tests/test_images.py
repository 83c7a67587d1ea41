"""Cameras' images in data sets: kept without loss, or with one that is told, and learned from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from r2s_core import cli
from r2s_core.demonstrations import dataset
from r2s_core.demonstrations.episode import Episode, Start
from r2s_core.errors import ConfigError
from r2s_core.policy.saved import load_policy
from r2s_core.types import ArraySpec
from r2s_lerobot import layout, videos
from r2s_lerobot.features import Description
from r2s_lerobot.loss import Loss
from r2s_lerobot.read import read
from r2s_lerobot.statistics import QUANTILES
from r2s_lerobot.videos import LOSSLESS, Codec
from r2s_lerobot.write import Writer

IMAGES = {
    "front": ArraySpec((5, 7, 3), "uint8"),
    "front_depth": ArraySpec((5, 7, 1), "uint16"),
    "front_segmentation": ArraySpec((5, 7, 1), "uint8"),
}
FRONT, RATE = "observation.images.front", 1 / 0.048
RNG = np.random.default_rng(0)


def an_episode(length: int, number: int) -> Episode:
    def seen(*leading: int) -> dict[str, np.ndarray]:
        found = {
            name: RNG.integers(0, np.iinfo(of.dtype).max + 1, (*leading, *of.shape), of.dtype)
            for name, of in IMAGES.items()
        }
        return {"policy": RNG.normal(size=(*leading, 2)).astype(np.float32), **found}

    label = RNG.normal(size=(length, 1)).astype(np.float32)
    reward = np.zeros(length, np.float32)
    start = Start(7, 0, number, 8)
    return Episode(seen(length), label, label, False, reward, True, seen(), start)


def written(
    folder: Path, lengths: list[int], *, flushes: int = 1, codec: Codec = LOSSLESS
) -> tuple[list[Episode], Writer]:
    names = {"policy": ("x", "y")}
    described = Description(names, ("push",), RATE, False, "reach", images=IMAGES, codec=codec)
    episodes = [an_episode(length, i) for i, length in enumerate(lengths)]
    writer = Writer(folder, described)
    for some in np.array_split(np.arange(len(episodes)), flushes):
        for i in some:
            writer.add(episodes[i])
        writer.flush({"groups": ["policy", *IMAGES]})
    return episodes, writer


def assert_equal(read: tuple[Episode, ...], expected: list[Episode]) -> None:
    assert len(read) == len(expected)
    for a, b in zip(read, expected, strict=True):
        assert a.obs.keys() == b.obs.keys()
        for ours, theirs in ((a.obs, b.obs), (a.final_obs, b.final_obs)):
            assert ours is not None
            assert theirs is not None
            for name, x in theirs.items():
                assert (ours[name].dtype, ours[name].shape) == (x.dtype, x.shape)
                np.testing.assert_array_equal(ours[name], x, err_msg=name)


@pytest.mark.parametrize(("shape", "rate"), [((3, 1), 1 / 0.048), ((24, 33), 30.0), ((8, 8), 7.3)])
def test_a_video_has_every_frame_as_it_was(tmp_path, shape, rate):
    frames = RNG.integers(0, 256, (31, *shape, 3), dtype=np.uint8)
    path = tmp_path / "a.mp4"
    path.write_bytes(videos.encode(frames, rate, LOSSLESS))
    first, later = videos.decode(path, shape, rate, [(0, 1), (7, 31)])
    np.testing.assert_array_equal(first, frames[:1])
    np.testing.assert_array_equal(later, frames[7:])


def test_what_is_written_comes_back_exactly_with_what_followed_the_last_step(tmp_path):
    episodes, _ = written(tmp_path / "set", [3, 1, 4, 2], flushes=2)
    assert_equal(read(tmp_path / "set", {}, None).episodes, episodes)
    made = sorted(path.name for path in (tmp_path / "set/videos" / FRONT).rglob("*.mp4"))
    assert made == ["file-000.mp4", "file-001.mp4"]
    # Only the videos of what is asked for are opened.
    (tmp_path / "set/videos" / FRONT / "chunk-000/file-001.mp4").unlink()
    assert_equal(read(tmp_path / "set", {}, 2).episodes, episodes[:2])
    with pytest.raises(ConfigError, match=r"file-001.mp4: no such file"):
        read(tmp_path / "set", {}, None)


def test_times_and_statistics_are_as_lerobot_has_them(tmp_path):
    episodes, _ = written(tmp_path / "set", [3, 4])
    table = pq.read_table(tmp_path / "set" / layout.EPISODES.format(chunk_index=0, file_index=0))
    row = table.to_pylist()[1]
    assert row[f"videos/{FRONT}/from_timestamp"] == pytest.approx(4 / RATE)
    assert row[f"videos/{FRONT}/to_timestamp"] == pytest.approx(8 / RATE)
    pixels = np.concatenate([episode.obs["front"] for episode in episodes]).reshape(-1, 3) / 255
    found = json.loads((tmp_path / "set" / layout.STATS).read_text())[FRONT]
    assert found.pop("count") == [7]
    expected = {"min": pixels.min(0), "max": pixels.max(0), "mean": pixels.mean(0)}
    expected["std"] = pixels.std(0)
    expected |= {name: np.quantile(pixels, share, axis=0) for name, share in QUANTILES.items()}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        tolerance = 0.02 if name in QUANTILES else 1e-12
        np.testing.assert_allclose(np.array(found[name]), value[:, None, None], atol=tolerance)
    of_one = np.array(row[f"stats/{FRONT}/mean"])
    expected_one = episodes[1].obs["front"].reshape(-1, 3).mean(0) / 255
    np.testing.assert_allclose(of_one, expected_one[:, None, None])
    features = json.loads((tmp_path / "set" / layout.INFO).read_text())["features"]
    assert features[FRONT]["names"] == ["height", "width", "channels"]
    assert features[FRONT]["info"]["video.crf"] == 0
    assert FRONT not in pq.read_table(tmp_path / "set" / "data").column_names


def test_a_lossy_video_is_measured(tmp_path):
    episodes, writer = written(tmp_path / "set", [6, 6], codec=Codec(18))
    found = read(tmp_path / "set", {}, None).episodes
    parts = [(a.obs, b.obs) for a, b in zip(episodes, found, strict=True)]
    parts += [(a.final_obs, b.final_obs) for a, b in zip(episodes, found, strict=True)]
    apart = [Loss.between(a["front"], b["front"]) for a, b in parts if a and b]
    assert writer.losses[FRONT].largest == max(loss.largest for loss in apart) > 0
    assert writer.losses[FRONT].total == sum(loss.total for loss in apart)
    np.testing.assert_array_equal(found[1].obs["front_depth"], episodes[1].obs["front_depth"])


def test_no_video_is_longer_than_lerobot_can_time(tmp_path, monkeypatch):
    monkeypatch.setattr(videos, "LONGEST_S", 9.5 / RATE)
    episodes, _ = written(tmp_path / "set", [4, 3, 3, 12, 2])
    assert_equal(read(tmp_path / "set", {}, None).episodes, episodes)
    table = pq.read_table(tmp_path / "set/meta/episodes")
    assert table[f"videos/{FRONT}/file_index"].to_pylist() == [0, 0, 1, 2, 3]


def video_replaced(shape: tuple[int, int], rate: float, count: int) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.write_bytes(videos.encode(np.zeros((count, *shape, 3), np.uint8), rate, LOSSLESS))

    return replace


def flip_bits(path: Path) -> None:
    """In its frames, not in what describes them."""
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") if b"moov" in data[start:] else len(data)
    for place in np.linspace(start + (end - start) // 4, end - 8, 60).astype(int):
        data[place] ^= 0xFF
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (video_replaced((6, 7), RATE, 9), r"images are of 6 x 7 pixels, and .* says 5 x 7"),
        (video_replaced((5, 70), RATE, 9), r"images are of 5 x 70 pixels, and .* says 5 x 7"),
        (video_replaced((5, 7), 20.0, 9), r"has 20 frames a second, and meta/info.json says 20.83"),
        (video_replaced((5, 7), RATE, 6), r"damaged: it has 6 frames, and 7 by meta/episodes"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "not a video that can be read"),
        (flip_bits, "damaged"),
        # A list of other files, which ffmpeg would open by itself.
        (
            lambda path: path.write_text("#EXTM3U\n#EXTINF:1\na.ts\n"),
            "not a video that can be read",
        ),
    ],
)
def test_a_video_that_is_not_what_it_should_be_is_one_sentence(tmp_path, damage, said):
    written(tmp_path / "set", [3, 2])
    damage(tmp_path / "set/videos" / FRONT / "chunk-000/file-000.mp4")
    with pytest.raises(ConfigError, match=said):
        read(tmp_path / "set", {}, None)


def changed(info: dict[str, Any], **values: Any) -> dict[str, Any]:
    feature = info["features"][FRONT] | values
    return info | {"features": info["features"] | {FRONT: feature}}


@pytest.mark.parametrize(
    ("change", "features", "said"),
    [
        (lambda info: changed(info, dtype="image"), {}, "convert_image_to_video"),
        (lambda info: changed(info, shape=[5, 7, 4]), {}, r"video of shape \[5, 7, 4\]"),
        (lambda info: info | {"video_path": "../{video_key}.mp4"}, {}, "not within"),
        (lambda info: info | {"video_path": "{video_key.x}"}, {}, "video_path is"),
        (lambda info: info, {"action": FRONT}, "of a camera, and action is numbers"),
        (lambda info: info, {"front": [FRONT, FRONT]}, "cannot be joined"),
        (lambda info: info, {"front": "observation.images.top"}, "no feature observation.images.t"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path, change, features, said):
    written(tmp_path / "set", [2])
    path = tmp_path / "set" / layout.INFO
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    mapping = {k: tuple(v) if isinstance(v, list) else v for k, v in features.items()}
    with pytest.raises(ConfigError, match=said):
        read(tmp_path / "set", mapping, None)


def test_more_images_than_can_be_held_are_told_before_they_are_read(tmp_path, monkeypatch):
    written(tmp_path / "set", [2])
    for path in (tmp_path / "set/videos").rglob("*.mp4"):
        path.unlink()
    monkeypatch.setattr(dataset, "LIMIT", 100)
    with pytest.raises(
        ConfigError, match=r"with images of .*front 5 x 7 x 3.* take 0\..* kB, more"
    ):
        read(tmp_path / "set", {}, None)


# Recorded, and learned from.


def record(config: Path, *arguments: object, output: str = "demos") -> Path:
    folder = config.parent / output
    asked = ["demo", "record", config, "-o", folder, "--keep-failures", *arguments]
    assert cli.main([*map(str, asked)]) == 0
    return folder


def test_a_recording_with_a_camera_is_described_and_replayed(driving, capsys):
    folder = record(driving, "--episodes", 5, "environment.seen=true")
    assert cli.main(["demo", "info", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.split("succeeded\n", 1)[1])
    camera = told["videos"]["observation.images.camera"]
    assert (camera["codec"], camera["crf"], camera["files"]) == ("h264", 0, 1)
    assert cli.main(["demo", "info", str(folder)]) == 0
    assert "without loss" in capsys.readouterr().out
    assert cli.main(["demo", "replay", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "5 of 5 episodes are as recorded, to the last bit" in shown
    assert "images of camera: all as recorded" in shown
    assert "images of camera_depth: all as recorded" in shown
    # One level of one pixel is noticed.
    path = folder / "videos/observation.images.camera/chunk-000/file-000.mp4"
    frames = videos.decode(path, (4, 25), 50.0, [(0, 45)])[0]
    frames[13, 2, 3, 1] ^= 1
    path.write_bytes(videos.encode(frames, 50.0, LOSSLESS))
    assert cli.main(["demo", "replay", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "4 of 5 episodes are as recorded" in shown
    assert "images of camera: at most 1 levels apart" in shown


def test_a_lossy_recording_says_what_it_lost_and_its_states_are_exact(driving, capsys):
    folder = record(driving, "--episodes", 3, "environment.seen=true", "--crf", 24)
    assert "with CRF 24 its images are at most" in capsys.readouterr().out
    assert cli.main(["demo", "replay", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "3 of 3 episodes are as recorded, to the last bit" in shown
    assert "average (its video is lossy, CRF 24)" in shown
    recorded = json.loads((folder / layout.RECORDING).read_text())["videos"]
    assert recorded["observation.images.camera"]["largest_difference"] > 0


def test_a_policy_is_cloned_from_images_alone(driving):
    task = ["environment.blind=true", "environment.num_parallel_envs=48"]
    folder = record(driving, "--episodes", 192, *task)
    options = [*task, "algorithm=bc", "training.total_timesteps=768", "evaluation.episodes=0"]
    options += ["algorithms.bc={num_steps: 8, num_batches: 120, batch_size: 64, "]
    options[-1] += "hidden_sizes: [32], image_encoder: {channels: [8, 8]}}"
    options += [f"demonstrations.source={folder}", "demonstrations.successful_only=false"]
    assert cli.main(["run", str(driving), *options, "output=run"]) == 0
    fresh = read(record(driving, "--episodes", 48, *task, "--seed", 1, output="more"), {}, None)
    images = np.concatenate([episode.obs["camera"] for episode in fresh.episodes])
    labels = np.clip(np.concatenate([episode.label for episode in fresh.episodes]), -1, 1)
    wrong = np.abs(load_policy(Path("run"))({"camera": images}) - labels).mean()
    assert wrong < 0.35 * np.abs(labels - np.median(labels)).mean()


def test_a_camera_that_is_missing_or_of_another_size_is_told(driving, capsys):
    folder = record(driving, "--episodes", 2, "environment.seen=true")
    options = ["algorithm=bc", f"demonstrations.source={folder}", "output=run"]
    options += ["demonstrations.successful_only=false", "environment.seen=true"]
    assert cli.main(["run", str(driving), *options, "environment.columns=24"]) == 2
    assert (
        "its camera has shape [4, 25, 3], and this environment's [4, 24, 3]; images are not "
        "resized: change the camera's size"
    ) in capsys.readouterr().err
    mapped = "demonstrations.features={camera: observation.camera_depth}"
    assert cli.main(["run", str(driving), *options, mapped]) == 2
    assert "its camera has shape [2, 3, 1]" in capsys.readouterr().err
    path = folder / layout.INFO
    path.write_text(path.read_text().replace("observation.images.camera", "observation.top"))
    assert cli.main(["run", str(driving), *options]) == 2
    assert "nothing for the camera's images 'camera'; say which" in capsys.readouterr().err
