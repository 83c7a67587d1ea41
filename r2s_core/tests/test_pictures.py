"""Pictures show what happened where a machine can draw, and cost a line, never a run, elsewhere."""

import dataclasses
import types
from typing import Any

import imageio_ffmpeg
import mujoco
import numpy as np
import pytest

from r2s_core.evaluation.episodes import Recording
from r2s_core.rendering import overlay, pictures, render
from r2s_core.rendering.pictures import key_moments, take_pictures
from r2s_core.task_info import TaskInfo
from r2s_core.types import SceneSpec

XML = """
<mujoco>
  <visual><global offwidth="640" offheight="480"/></visual>
  <worldbody>
    <light pos="0 0 3"/>
    <camera name="front" pos="0 -2 0.3" xyaxes="1 0 0 0 0 1"/>
    <camera name="portrait" pos="0 -1 0" xyaxes="1 0 0 0 0 1"/>
    <body><joint name="x" type="slide" axis="1 0 0"/><geom size="0.2" rgba="1 0 0 1"/></body>
    <body name="goal_marker" mocap="true"><geom size="0.1" rgba="0 1 0 1"/></body>
  </worldbody>
</mujoco>
"""


INFO = TaskInfo(stages=("reached",), markers={"goal_marker": "goal"})


@dataclasses.dataclass
class Task:
    goal: np.ndarray


def environment() -> Any:
    spec = mujoco.MjSpec.from_string(XML)
    scene = SceneSpec(
        spec.compile(), 1, frozenset({"qpos"}), lambda variant: mujoco.MjSpec.from_string(XML)
    )
    return types.SimpleNamespace(
        scene=scene, spec=types.SimpleNamespace(control_dt=0.05, task=INFO)
    )


def recording(success, length=20, failure=""):
    """The red ball goes from left to right; the goal is above it; it is reached half way."""
    qpos = np.linspace(-0.6, 0.6, length, dtype=np.float32)[:, None]
    goal = np.tile(np.asarray([0, 0, 0.5], np.float32), (length, 1))
    steps = np.arange(length)
    metrics = {"reached": (steps >= length // 2).astype(np.float32)}
    succeeded = (steps >= length - 3) & success
    return Recording(qpos, Task(goal), success, 0, metrics, succeeded, failure)


needs_gl = pytest.mark.skipif(render.probe_gl() is None, reason=render.missing_gl_advice())


@needs_gl
def test_strips_portrait_and_video_show_the_motion_and_the_goal(tmp_path):
    recordings = [recording(False, 12, "lost"), *[recording(True)] * 4, recording(False, 9, "lost")]
    recordings[-1] = recording(False, 9, "late")
    drawn = take_pictures(tmp_path, environment(), recordings)

    assert drawn.notes == ()
    assert drawn.video == tmp_path / "video.mp4"
    titles = ["success", "success", "success", "failure: lost", "failure: late"]
    assert [strip.title for strip in drawn.strips] == titles
    captions = [[shot.caption for shot in strip.shots] for strip in drawn.strips]
    # 0.05 s a step; after the 17th step and from then on it is a success.
    assert captions[0] == ["0.0 s: start", "0.6 s: reached", "0.9 s: success"]
    assert captions[3] == ["0.0 s: start", "0.4 s: reached", "0.6 s: end"]
    assert [shot.state for shot in drawn.strips[3].shots] == [None, None, "bad"]
    assert all(shot.png.startswith(b"\x89PNG") for strip in drawn.strips for shot in strip.shots)
    assert len(drawn.portraits) == 1

    reader = imageio_ffmpeg.read_frames(str(tmp_path / "video.mp4"))
    meta: Any = next(reader)
    assert meta["size"] == (800, 600)
    assert meta["fps"] == pytest.approx(20)
    clip = [np.frombuffer(f, np.uint8).reshape(600, 800, 3).astype(int) for f in reader]
    # The first and the second tile play one more: 12 or 20 steps, another, and pauses of 12.
    assert len(clip) == max(12 + 20, 20 + 9) + 2 * 12

    def reddest_column(frame):
        panel = frame[300 + 60 :, 400:]  # the fourth tile, below what is written on it
        return int((panel[..., 0] - panel[..., 1]).sum(axis=0).argmax())

    assert reddest_column(clip[0]) < 170 < 230 < reddest_column(clip[19])
    green = (clip[0][60:, 60:340, 1] - clip[0][60:, 60:340, 0]).max(axis=1)
    assert green[:90].max() > 60  # the goal is in the upper half


def test_moments_are_told_by_stages_or_spread_evenly():
    assert key_moments(recording(True), INFO.stages) == [
        (0, "start"),
        (11, "reached"),
        (18, "success"),
    ]
    plain = key_moments(recording(False), ())
    assert [name for _, name in plain] == ["start", "on the way", "on the way", "end"]
    unknown = dataclasses.replace(recording(True), succeeded=None)
    assert key_moments(unknown, INFO.stages)[-1] == (19, "success")
    at_once = dataclasses.replace(recording(True), metrics={"reached": np.ones(20)})
    assert key_moments(at_once, INFO.stages)[1] == (1, "reached")


def test_the_time_and_the_outcome_are_written_on_a_tile():
    grey = np.full((300, 400, 3), 128, np.uint8)
    one, two, good, bad = (grey.copy() for _ in range(4))
    overlay.write_time(one, 0.1)
    overlay.write_time(two, 12.2)
    overlay.write_mark(good, True)
    overlay.write_mark(bad, False)
    assert (one[:, 200:] == 128).all()
    assert (one.min(axis=2)[:40, :100] > 250).any()  # white strokes
    columns = [int((image != 128).any(axis=(0, 2)).sum()) for image in (one, two)]
    assert columns[0] < columns[1] < 150
    for image, channel in ((good, 1), (bad, 0)):
        assert (image[:, :200] == 128).all()
        panel = image[(image != 128).any(axis=2)].astype(int).mean(axis=0)
        assert panel.argmax() == channel


@needs_gl
def test_long_episodes_are_thinned_and_keep_their_speed(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "_VIDEO_FRAMES", 10)
    take_pictures(tmp_path, environment(), [recording(True, 40)])
    meta: Any = next(imageio_ffmpeg.read_frames(str(tmp_path / "video.mp4")))
    assert meta["fps"] == pytest.approx(20 / 4)
    assert meta["duration"] == pytest.approx(40 * 0.05 + 0.6, abs=0.3)


def test_without_gl_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(render, "probe_gl", lambda: None)
    drawn = take_pictures(tmp_path, environment(), [recording(True)])
    assert drawn.strips == ()
    assert drawn.video is None
    assert len(drawn.notes) == 1
    assert "apt-get install" in drawn.notes[0]
    assert not (tmp_path / "video.mp4").exists()


def test_a_renderer_that_breaks_costs_a_line_not_the_run(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ValueError("driver trouble")

    monkeypatch.setattr(render, "render_frames", broken)
    drawn = take_pictures(tmp_path, environment(), [recording(True)])
    assert drawn == pictures.Pictures(notes=("No pictures: ValueError: driver trouble",))


def test_an_environment_without_a_scene_has_no_pictures(tmp_path):
    nothing: Any = types.SimpleNamespace()
    assert take_pictures(tmp_path, nothing, [recording(True)]) == pictures.Pictures()
