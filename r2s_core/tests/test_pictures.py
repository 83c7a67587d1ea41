"""Pictures show what happened where a machine can draw, and cost a line, never a run, elsewhere."""

import dataclasses
import types
from typing import Any

import imageio_ffmpeg
import mujoco
import numpy as np
import pytest

from r2s_core.evaluation.episodes import Recording
from r2s_core.rendering import pictures, render
from r2s_core.rendering.pictures import take_pictures
from r2s_core.types import SceneSpec

XML = """
<mujoco>
  <visual><global offwidth="640" offheight="480"/></visual>
  <worldbody>
    <light pos="0 0 3"/>
    <camera name="front" pos="0 -2 0.3" xyaxes="1 0 0 0 0 1"/>
    <body><joint name="x" type="slide" axis="1 0 0"/><geom size="0.2" rgba="1 0 0 1"/></body>
    <body name="goal_marker" mocap="true"><geom size="0.1" rgba="0 1 0 1"/></body>
  </worldbody>
</mujoco>
"""


@dataclasses.dataclass
class Task:
    goal: np.ndarray


def environment() -> Any:
    spec = mujoco.MjSpec.from_string(XML)
    scene = SceneSpec(
        spec.compile(), 1, frozenset({"qpos"}), lambda variant: mujoco.MjSpec.from_string(XML)
    )
    return types.SimpleNamespace(scene=scene, spec=types.SimpleNamespace(control_dt=0.05))


def recording(success, length=20):
    """The red ball goes from left to right; the goal is above it."""
    qpos = np.linspace(-0.6, 0.6, length, dtype=np.float32)[:, None]
    goal = np.tile(np.asarray([0, 0, 0.5], np.float32), (length, 1))
    return Recording(qpos, Task(goal), success)


needs_gl = pytest.mark.skipif(render.probe_gl() is None, reason=render.missing_gl_advice())


@needs_gl
def test_frames_and_video_show_the_motion_and_the_goal(tmp_path):
    recordings = [recording(False, 12), recording(True), recording(True), recording(True)]
    frames, notes = take_pictures(tmp_path, environment(), recordings)

    assert notes == []
    captions = [caption for caption, _ in frames]
    assert captions[0] == "a success, 0.0 s"
    assert captions[7] == "a success, 1.0 s"  # 19 steps of 0.05 s
    assert [c for c in captions if "failure" in c] == captions[8:]
    assert len(captions) == 12
    assert all(png.startswith(b"\x89PNG") for _, png in frames)

    reader = imageio_ffmpeg.read_frames(str(tmp_path / "video.mp4"))
    meta: Any = next(reader)
    assert meta["size"] == (960, 720)
    assert meta["fps"] == pytest.approx(20)
    clip = [np.frombuffer(f, np.uint8).reshape(720, 960, 3).astype(int) for f in reader]
    assert len(clip) == 20 + 20  # a second's pause at the end

    def reddest_column(frame):
        panel = frame[360:, 480:]  # the fourth episode
        return int((panel[..., 0] - panel[..., 1]).sum(axis=0).argmax())

    assert reddest_column(clip[0]) < 200 < 280 < reddest_column(clip[19])
    green = (clip[0][..., 1] - clip[0][..., 0]).max(axis=1)
    assert green[:180].max() > 60  # the goal is in the upper half


@needs_gl
def test_long_episodes_are_thinned_and_keep_their_speed(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "_VIDEO_FRAMES", 10)
    take_pictures(tmp_path, environment(), [recording(True, 40)])
    meta: Any = next(imageio_ffmpeg.read_frames(str(tmp_path / "video.mp4")))
    assert meta["fps"] == pytest.approx(20 / 4)
    assert meta["duration"] == pytest.approx(40 * 0.05 + 1.0, abs=0.3)


def test_without_gl_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(render, "probe_gl", lambda: None)
    frames, notes = take_pictures(tmp_path, environment(), [recording(True)])
    assert frames == []
    assert len(notes) == 1
    assert "apt-get install" in notes[0]
    assert not (tmp_path / "video.mp4").exists()


def test_a_renderer_that_breaks_costs_a_line_not_the_run(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ValueError("driver trouble")

    monkeypatch.setattr(render, "render_frames", broken)
    assert take_pictures(tmp_path, environment(), [recording(True)]) == (
        [],
        ["No pictures: ValueError: driver trouble"],
    )


def test_an_environment_without_a_scene_has_no_pictures(tmp_path):
    assert take_pictures(tmp_path, types.SimpleNamespace(), [recording(True)]) == ([], [])  # type: ignore[arg-type]
