"""Pictures: what is drawn, what is written, and what a machine without graphics is told."""

from __future__ import annotations

import json
import struct
import zlib

import mujoco
import numpy as np
import pytest

from r2s_core.errors import R2SError
from r2s_core.rendering import render
from r2s_core.rendering.live import LiveRenderer

_SCENE = """
<mujoco>
  <visual><headlight ambient="1 1 1" diffuse="0 0 0" specular="0 0 0"/></visual>
  <worldbody>
    <camera name="top" pos="0 0 3" fovy="60"/>
    <body><joint type="slide" axis="1 0 0"/>
      <geom type="box" size=".3 .3 .1" rgba="1 0 0 1"/></body>
    <body name="goal_marker" mocap="true" pos="0 0 -50">
      <geom size=".2" rgba="0 1 0 1" contype="0" conaffinity="0"/></body>
  </worldbody>
</mujoco>
"""


@pytest.fixture(autouse=True)
def own_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("R2S_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("MUJOCO_GL", raising=False)


@pytest.fixture(scope="module")
def graphics():
    if render.probe_gl() is None:
        pytest.skip(render.missing_gl_advice())


def _centre_column(frame: np.ndarray, channel: int) -> float:
    """Mean column of the pixels in which one colour dominates."""
    others = np.delete(frame, channel, axis=-1).max(axis=-1)
    columns = np.nonzero((frame[..., channel] > 150) & (others < 80))[1]
    assert len(columns), "the colour is nowhere in the frame"
    return float(columns.mean())


@pytest.mark.usefixtures("graphics")
def test_draws_each_pose_and_each_marker():
    model = mujoco.MjModel.from_xml_string(_SCENE)
    qpos = np.array([[-0.6], [0.6]])
    marker = {"goal_marker": np.array([[0.6, 0.0, 0.5], [-0.6, 0.0, 0.5]])}
    frames = render.render_frames(model, qpos, marker, width=96, height=64, camera="top")
    assert frames.shape == (2, 64, 96, 3)
    assert frames.dtype == np.uint8
    assert _centre_column(frames[0], 0) < 40 < 56 < _centre_column(frames[1], 0)
    assert _centre_column(frames[1], 1) < 40 < 56 < _centre_column(frames[0], 1)


@pytest.mark.usefixtures("graphics")
def test_a_model_that_cannot_be_drawn_says_why():
    model = mujoco.MjModel.from_xml_string(_SCENE)
    with pytest.raises(R2SError, match=r"drawing through \w+ failed: .*broadcast"):
        render.render_frames(model, np.zeros((1, 5)), width=64, height=48)
    with pytest.raises(R2SError, match="no mocap body 'flag'"):
        render.render_frames(model, np.zeros((1, 1)), {"flag": np.zeros((1, 3))}, width=64)


@pytest.mark.usefixtures("graphics")
def test_a_live_renderer_draws_as_the_other_does_and_says_why_it_cannot():
    model = mujoco.MjModel.from_xml_string(_SCENE)
    pose, marker = np.array([[0.5]]), {"goal_marker": np.array([[-0.5, 0.0, 0.5]])}
    live = LiveRenderer(96, 64, "top")
    live.load(7, model)
    np.testing.assert_array_equal(
        live.draw(np.array([7]), pose, marker),
        render.render_frames(model, pose, marker, width=96, height=64, camera="top"),
    )
    with pytest.raises(R2SError, match=r"No pictures: ValueError: .*broadcast"):
        live.draw(np.array([7]), np.zeros((1, 5)))
    assert live.draw(np.array([7, 7]), np.zeros((2, 1))).shape == (2, 64, 96, 3)  # it goes on
    live._worker.kill()
    with pytest.raises(R2SError, match=r"No pictures: the renderer ended: exit status -9"):
        live.draw(np.array([7]), pose)
    live.close()
    live.close()


@pytest.mark.usefixtures("graphics")
def test_the_interface_found_is_remembered(tmp_path, monkeypatch):
    found = render.probe_gl()
    assert json.loads((tmp_path / "cache/gl.json").read_text())["interface"] == found
    monkeypatch.setattr(render, "_run_worker", lambda *_, **__: "must not be asked again")
    assert render.probe_gl() == found


def test_without_graphics_the_packages_are_named(monkeypatch):
    tried = []
    monkeypatch.setattr(
        render, "_run_worker", lambda interface, *_, **__: tried.append(interface) or "no display"
    )
    assert render.probe_gl() is None
    assert tried == ["egl", "osmesa"]
    model = mujoco.MjModel.from_xml_string(_SCENE)
    with pytest.raises(R2SError, match=r"libegl1 .*libosmesa6"):
        render.render_frames(model, np.zeros((1, 1)))


def test_an_interface_that_the_user_chose_is_the_only_one_tried(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "no-such-interface")
    assert render.probe_gl() is None
    assert "MUJOCO_GL=no-such-interface" in render.missing_gl_advice()


def test_a_damaged_memory_is_ignored(tmp_path, monkeypatch):
    memory = tmp_path / "cache/gl.json"
    memory.parent.mkdir()
    memory.write_text('["not what was written"')
    monkeypatch.setattr(
        render, "_run_worker", lambda interface, *_, **__: "" if interface == "osmesa" else "no"
    )
    assert render.probe_gl() == "osmesa"


def test_video_holds_every_frame(tmp_path):
    frames = [np.full((48, 64, 3), 8 * i, np.uint8) for i in range(25)]
    path = tmp_path / "video.mp4"
    render.write_video(path, frames, fps=25)
    import imageio_ffmpeg

    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert count == 25
    assert seconds == pytest.approx(1.0, abs=0.05)
    reader = imageio_ffmpeg.read_frames(str(path))
    assert next(reader)["size"] == (64, 48)
    first = np.frombuffer(next(reader), np.uint8)
    assert first.max() < 12  # the first frame is black
    reader.close()


def test_video_errors_leave_no_file(tmp_path):
    with pytest.raises(R2SError, match="no frames"):
        render.write_video(tmp_path / "video.mp4", [], fps=25)
    frames = [np.zeros((48, 64, 3), np.uint8)] * 3
    with pytest.raises(R2SError, match="could not be written"):
        render.write_video(tmp_path / "no-such-folder" / "video.mp4", frames, fps=25)
    assert not list(tmp_path.rglob("*.mp4"))


def test_png_decodes_to_the_frame():
    frame = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    data = render.encode_png(frame)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    length = struct.unpack(">I", data[33:37])[0]  # after the signature and the header's chunk
    assert data[37:41] == b"IDAT"
    rows = np.frombuffer(zlib.decompress(data[41 : 41 + length]), np.uint8).reshape(5, 22)
    decoded = np.cumsum(rows[:, 1:], axis=0, dtype=np.uint8)  # undo the filter "up"
    np.testing.assert_array_equal(decoded.reshape(5, 7, 3), frame)
