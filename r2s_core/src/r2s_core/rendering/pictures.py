"""Frames and a video of the final policy, where the machine can render; else one plain line."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from r2s_core.env.looks import Looks
from r2s_core.errors import R2SError
from r2s_core.evaluation.episodes import Recording
from r2s_core.rendering import render
from r2s_core.system import files
from r2s_core.types import Environment, SceneSpec

VIDEO = "video.mp4"
_WIDTH, _HEIGHT = 480, 360
_MOMENTS = 8  # frames of one episode in the report
_FAILED_MOMENTS = 4
_VIDEO_EPISODES = 4  # side by side, two by two
_VIDEO_FRAMES = 320  # rendered at most; longer episodes are shown at a lower frame rate
_PAUSE_S = 1.0

#: What to draw each recording with, by its identity.
Models = Mapping[int, mujoco.MjModel]


def take_pictures(
    run_dir: Path, env: Environment[Any], recordings: Sequence[Recording]
) -> tuple[list[tuple[str, bytes]], list[str]]:
    """Write `video.mp4` to `run_dir` and draw the frames of the report.

    recordings: episodes as they came, so that the video flatters nobody.

    Returns (caption, PNG) pairs and lines that say why something is missing. Whatever goes wrong
    with pictures, the run has its result and goes on.
    """
    scene = getattr(env, "scene", None)
    if not recordings or scene is None or scene.render_spec is None:
        return [], []
    try:
        models = _models(env, scene, recordings)
        frames = _frames(models, recordings, env.spec.control_dt)
        _video(run_dir / VIDEO, models, recordings[:_VIDEO_EPISODES], env.spec.control_dt)
    except R2SError as error:
        return [], [str(error)]
    except Exception as error:  # drivers and encoders fail in their own ways
        return [], [f"No pictures: {type(error).__name__}: {error}"]
    return frames, []


def _models(env: Any, scene: SceneSpec, recordings: Sequence[Recording]) -> Models:
    """Each episode's own where looks are varied, else one for all of a variant."""
    assert scene.render_spec is not None
    plain = {
        variant: scene.render_spec(variant).compile()
        for variant in {recording.variant for recording in recordings}
    }
    looks: Looks | None = getattr(env, "looks", None)
    if not looks:
        return {id(recording): plain[recording.variant] for recording in recordings}
    return {
        id(recording): looks.of_episode(plain[recording.variant], recording.variant, episode)
        for episode, recording in enumerate(recordings)
    }


def _frames(
    models: Models, recordings: Sequence[Recording], control_dt: float
) -> list[tuple[str, bytes]]:
    """Moments of the first success, and fewer of the first failure if there is one."""
    shots: list[tuple[Recording, np.ndarray]] = []
    for success, count in ((True, _MOMENTS), (False, _FAILED_MOMENTS)):
        chosen = next((r for r in recordings if r.success is success), None)
        if chosen is not None:
            moments = np.linspace(0, len(chosen.qpos) - 1, count).round().astype(int)
            shots.append((chosen, np.unique(moments)))
    return [
        (
            f"{'a success' if recording.success else 'a failure'}, {moment * control_dt:.1f} s",
            render.encode_png(frame),
        )
        for (recording, moments), clip in zip(shots, _draw(models, shots, True), strict=True)
        for moment, frame in zip(moments, clip, strict=True)
    ]


def _video(path: Path, models: Models, recordings: Sequence[Recording], control_dt: float) -> None:
    """The episodes side by side in real time; one that ends early holds its last frame."""
    longest = max(len(r.qpos) for r in recordings)
    stride = -(-longest * len(recordings) // _VIDEO_FRAMES)
    length = -(-longest // stride) + round(_PAUSE_S / (control_dt * stride))
    shots = [(r, np.arange(0, len(r.qpos), stride)) for r in recordings]
    clips = _draw(models, shots, shadows=False)
    clips = [clip[np.minimum(np.arange(length), len(clip) - 1)] for clip in clips]
    if len(clips) % 2:
        clips.append(np.full_like(clips[0], 255))
    rows = [np.concatenate(clips[i : i + 2], axis=2) for i in range(0, len(clips), 2)]
    # In a folder of its own: the encoder would follow a link that lies where it writes.
    with tempfile.TemporaryDirectory(prefix=files.TEMPORARY, dir=path.parent) as folder:
        made = Path(folder) / path.name
        render.write_video(made, np.concatenate(rows, axis=1), fps=1 / (control_dt * stride))
        os.replace(made, path)


def _draw(
    models: Models, shots: Sequence[tuple[Recording, np.ndarray]], shadows: bool
) -> list[np.ndarray]:
    """A clip uint8[N, height, width, 3] of each (recording, moments [N])."""
    clips: dict[int, np.ndarray] = {}
    own = [models[id(recording)] for recording, _ in shots]
    for model in {id(model): model for model in own}.values():
        mine = [i for i in range(len(shots)) if own[i] is model]
        drawn = _draw_alike(model, [shots[i] for i in mine], shadows)
        clips |= dict(zip(mine, drawn, strict=True))
    return [clips[i] for i in range(len(shots))]


def _draw_alike(
    model: mujoco.MjModel, shots: Sequence[tuple[Recording, np.ndarray]], shadows: bool
) -> list[np.ndarray]:
    """Clips of one model, drawn in one go.

    The goal is marked where the task's state has a `goal`, a position.
    """
    qpos = np.concatenate([recording.qpos[moments] for recording, moments in shots])
    goals = [getattr(recording.task, "goal", np.zeros(0)) for recording, _ in shots]
    marker = None
    if all(np.shape(goal)[1:] == (3,) for goal in goals):
        marker = np.concatenate([g[m] for g, (_, m) in zip(goals, shots, strict=True)])
    frames = render.render_frames(
        model, qpos, marker, width=_WIDTH, height=_HEIGHT, shadows=shadows
    )
    return np.split(frames, np.cumsum([len(moments) for _, moments in shots])[:-1])
