"""Key moments and a video of the final policy, where the machine can render, else one line; and
what a policy that sees saw, which needs no renderer."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from r2s_core.env.vector_env import looks_of
from r2s_core.errors import R2SError
from r2s_core.evaluation.episodes import Recording
from r2s_core.pages import Film, Shot, Strip
from r2s_core.policy.saved import SavedPolicy
from r2s_core.rendering import overlay, render
from r2s_core.rendering.saliency import overlaid, saliency
from r2s_core.rendering.sights import Sights
from r2s_core.system import files
from r2s_core.task_info import TaskInfo
from r2s_core.types import Environment, HasScene, SceneSpec

VIDEO = "video.mp4"
#: A camera of the scene that looks at the object, if it has one.
PORTRAIT = "portrait"
_WIDTH, _HEIGHT = 400, 300
_SUCCESSES, _FAILURES = 3, 4  # episodes in the report; each failure of a different kind
_EVENLY = 4  # moments of an episode of a task without stages
_PORTRAITS = 9
_TILES, _EPISODES = 4, 8  # two by two; each shows every fourth of the first episodes
_VIDEO_FRAMES = 240  # rendered at most; longer episodes are shown at a lower frame rate
_FILM, _LOOKS = 9, 4  # images of an episode, and those with what the policy looks at
_LINGER_S = 0.6  # for which an episode is shown after its success

#: The model to render each recording with, by the recording's identity.
Models = Mapping[int, mujoco.MjModel]


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The rendered pictures.

    strips: key moments of some episodes. portraits: (name, PNG bytes) of the objects.
    video: the file, or None. notes: lines that say why something is missing. films: what a policy
    that sees saw in a success and in a failure. looks: where it looked; None: not known. beside:
    the images beside each tile of the video, by name.
    """

    strips: tuple[Strip, ...] = ()
    portraits: tuple[tuple[str, bytes], ...] = ()
    video: Path | None = None
    notes: tuple[str, ...] = ()
    films: tuple[Film, ...] = ()
    looks: Film | None = None
    beside: tuple[str, ...] = ()


def take_pictures(
    run_dir: Path,
    env: Environment[Any],
    recordings: Sequence[Recording],
    policy: SavedPolicy | None = None,
) -> Pictures:
    """Write `video.mp4` to `run_dir` and render the report's pictures.

    recordings: episodes in the order of play, not selected, so that the video is representative.
    policy: that played them.

    Errors become notes: the run has its result and continues without pictures.
    """
    sights = Sights.of(env, recordings)
    seen = Pictures() if sights is None else _seen(sights, recordings, policy, env.spec.control_dt)
    scene = env.scene if isinstance(env, HasScene) else None
    if not recordings or scene is None or scene.render_spec is None:
        return seen
    try:
        filmed, examples = recordings[:_EPISODES], _examples(recordings)
        models = _models(env, scene, [*filmed, *examples])
        dt = env.spec.control_dt
        info = env.spec.task
        strips = _strips(models, examples, info, dt)
        portraits = _portraits(scene, models, [*filmed, *examples])
        _video(run_dir / VIDEO, models, filmed, info, dt, sights)
    except R2SError as error:
        return dataclasses.replace(seen, notes=(*seen.notes, str(error)))
    except Exception as error:  # drivers and encoders fail in their own ways
        note = f"No pictures: {type(error).__name__}: {error}"
        return dataclasses.replace(seen, notes=(*seen.notes, note))
    beside = () if sights is None else sights.beside
    return dataclasses.replace(
        seen, strips=strips, portraits=portraits, video=run_dir / VIDEO, beside=beside
    )


def film_episodes(path: Path, env: Environment[Any], recordings: Sequence[Recording]) -> str | None:
    """Write a video of the first episodes to `path`; returns why not, where it cannot be made."""
    scene = env.scene if isinstance(env, HasScene) else None
    if scene is None or scene.render_spec is None:
        return "No video: the task has no scene to draw"
    filmed = recordings[:_EPISODES]
    try:
        models = _models(env, scene, filmed)
        _video(path, models, filmed, env.spec.task, env.spec.control_dt)
    except R2SError as error:
        return str(error)
    except Exception as error:  # drivers and encoders fail in their own ways
        return f"No video: {type(error).__name__}: {error}"
    return None


def _seen(
    sights: Sights, recordings: Sequence[Recording], policy: SavedPolicy | None, dt: float
) -> Pictures:
    """What the policy saw in the first success and the first failure, and where it looked in the
    former, or else the latter."""
    kept = [recording for recording in recordings if recording.read]
    shown = [next((r for r in kept if r.success is success), None) for success in (True, False)]
    examples = [recording for recording in shown if recording is not None]
    films = tuple(_film_of(sights, recording, dt) for recording in examples)
    if policy is None or not policy.observations.keys() <= examples[0].read.keys():
        return Pictures(films=films)
    try:
        return Pictures(films=films, looks=_looked_at(sights, examples[0], policy, dt))
    except Exception as error:  # the network may be too large for the memory left
        note = f"Not shown what the policy looks at: {type(error).__name__}: {error}"
        return Pictures(films=films, notes=(note,))


def _film_of(sights: Sights, recording: Recording, dt: float) -> Film:
    moments = _through(recording, _FILM)
    reels = []
    for name in sights.channels:
        images = sights.colours(recording, name, moments)
        reels.append((sights.caption(name), _shots(images, sights.decided(moments) * dt)))
    return Film(_titled(recording), "good" if recording.success else "bad", reels)


def _looked_at(sights: Sights, recording: Recording, policy: SavedPolicy, dt: float) -> Film:
    moments = _through(recording, _LOOKS)
    decided = sights.decided(moments)
    maps = saliency(policy, {name: x[decided] for name, x in recording.read.items()})
    reels = []
    for name, found in maps.items():
        images = overlaid(sights.colours(recording, name, moments), found)
        reels.append((name, _shots(images, decided * dt)))
    return Film(_titled(recording), "good" if recording.success else "bad", reels)


def _through(recording: Recording, count: int) -> np.ndarray:
    """Moments from an episode's start to its outcome, int[count], evenly."""
    last = len(recording.qpos) - 1
    end = min(_done_at(recording) + 1, last) if recording.success else last
    return np.linspace(0, end, count).round().astype(int)


def _shots(images: np.ndarray, seconds: np.ndarray) -> list[Shot]:
    pairs = zip(images, seconds, strict=True)
    return [Shot(f"{time:.1f} s", render.encode_png(image)) for image, time in pairs]


def _titled(recording: Recording) -> str:
    return "success" if recording.success else f"failure: {recording.failure}".rstrip(": ")


def _models(env: Any, scene: SceneSpec, recordings: Sequence[Recording]) -> Models:
    """A model per episode where looks are varied, else one per variant."""
    assert scene.render_spec is not None
    plain = {
        variant: scene.render_spec(variant).compile()
        for variant in {recording.variant for recording in recordings}
    }
    looks = looks_of(env)
    if not looks:
        return {id(recording): plain[recording.variant] for recording in recordings}
    return {
        id(recording): looks.of_episode(plain[recording.variant], recording.variant, episode)
        for episode, recording in enumerate(recordings)
    }


def _examples(recordings: Sequence[Recording]) -> list[Recording]:
    """The first successes, and the first failure of each kind."""
    failures: dict[str, Recording] = {}
    for recording in recordings:
        if not recording.success:
            failures.setdefault(recording.failure, recording)
    successes = [recording for recording in recordings if recording.success][:_SUCCESSES]
    return [*successes, *list(failures.values())[:_FAILURES]]


def _strips(
    models: Models, examples: Sequence[Recording], info: TaskInfo, dt: float
) -> tuple[Strip, ...]:
    moments = [key_moments(recording, info.stages) for recording in examples]
    indices = [np.array([i for i, _ in named]) for named in moments]
    clips = _draw(models, list(zip(examples, indices, strict=True)), info)
    strips = []
    for recording, named, clip in zip(examples, moments, clips, strict=True):
        last = len(named) - 1
        end = "good" if recording.success else "bad"
        shots = [
            Shot(f"{i * dt:.1f} s: {name}", render.encode_png(frame), end if k == last else None)
            for k, ((i, name), frame) in enumerate(zip(named, clip, strict=True))
        ]
        strips.append(Strip(_titled(recording), end, shots))
    return tuple(strips)


def key_moments(recording: Recording, stages: Sequence[str]) -> list[tuple[int, str]]:
    """(index into `qpos`, what happens there), in order, from the start to the outcome.

    stages: of the task.
    """
    last = len(recording.qpos) - 1
    found: dict[int, list[str]] = {0: ["start"]}

    def add(after_step: int, name: str) -> None:
        found.setdefault(min(after_step + 1, last), []).append(name)

    if not stages:
        for i in np.linspace(0, last, _EVENLY).round().astype(int)[1:-1]:
            found.setdefault(int(i), ["on the way"])
    for name in stages:
        reached = np.flatnonzero(recording.metrics[name] >= 0.5)
        if len(reached):
            add(int(reached[0]), name)
    if recording.success:
        add(_done_at(recording), "success")
    else:
        found.setdefault(last, []).append("end")
    return [(i, ", ".join(names)) for i, names in sorted(found.items())]


def _done_at(recording: Recording) -> int:
    """The control step after which a success lasts; the last one where that is not known."""
    succeeded = recording.succeeded
    if succeeded is None:
        return len(recording.qpos) - 1
    before = np.flatnonzero(~succeeded)
    return min(int(before[-1]) + 1 if len(before) else 0, len(succeeded) - 1)


def _portraits(
    scene: SceneSpec, models: Models, recordings: Sequence[Recording]
) -> tuple[tuple[str, bytes], ...]:
    """The object of each variant, as an episode starts."""
    first: dict[int, Recording] = {}
    for recording in recordings:
        first.setdefault(recording.variant, recording)
    names = scene.variants.names if scene.variants else ("",)
    drawn = []
    for variant, recording in sorted(first.items())[:_PORTRAITS]:
        model = models[id(recording)]
        if PORTRAIT not in [model.camera(i).name for i in range(model.ncam)]:
            continue
        pose = recording.qpos[:1]
        [frame] = _frames(model, pose, camera=PORTRAIT)
        drawn.append((names[variant], render.encode_png(frame)))
    return tuple(drawn)


def film(
    models: Models,
    recordings: Sequence[Recording],
    info: TaskInfo,
    dt: float,
    sights: Sights | None = None,
) -> tuple[np.ndarray, float]:
    """(uint8[N, height, width, 3], frames per second): tiles side by side in real time, each with
    its episodes one after another, and with what the policy saw, given how to show it.

    Episodes are cut soon after their success; a tile holds its last frame when it has finished.
    """
    linger = round(_LINGER_S / dt)
    lengths = [
        min(len(r.qpos), _done_at(r) + 2 + linger) if r.success else len(r.qpos) for r in recordings
    ]
    stride = -(-sum(lengths) // _VIDEO_FRAMES)
    moments = [np.arange(0, length, stride) for length in lengths]
    clips = _draw(models, list(zip(recordings, moments, strict=True)), info)
    for recording, indices, clip in zip(recordings, moments, clips, strict=True):
        _annotate(clip, indices, recording, dt)
    if sights is not None:
        pairs = zip(recordings, moments, strict=True)
        panels = [sights.panel(recording, indices, _HEIGHT) for recording, indices in pairs]
        clips = [np.concatenate(pair, axis=2) for pair in zip(clips, panels, strict=True)]
    pause = [np.repeat(clip[-1:], -(-linger // stride), axis=0) for clip in clips]
    clips = [np.concatenate(pair) for pair in zip(clips, pause, strict=True)]
    tiles = [np.concatenate(clips[i::_TILES]) for i in range(min(_TILES, len(clips)))]
    longest = max(map(len, tiles))
    tiles = [tile[np.minimum(np.arange(longest), len(tile) - 1)] for tile in tiles]
    if len(tiles) % 2 and len(tiles) > 1:
        tiles.append(np.full_like(tiles[0], 255))
    rows = [np.concatenate(tiles[i : i + 2], axis=2) for i in range(0, len(tiles), 2)]
    return np.concatenate(rows, axis=1), 1 / (dt * stride)


def _video(
    path: Path,
    models: Models,
    recordings: Sequence[Recording],
    info: TaskInfo,
    dt: float,
    sights: Sights | None = None,
) -> None:
    frames, fps = film(models, recordings, info, dt, sights)
    # In a new folder, since the encoder would follow a link at the path that it writes to.
    with tempfile.TemporaryDirectory(prefix=files.TEMPORARY, dir=path.parent) as folder:
        made = Path(folder) / path.name
        render.write_video(made, frames, fps)
        os.replace(made, path)


def _annotate(clip: np.ndarray, moments: np.ndarray, recording: Recording, dt: float) -> None:
    """The time on every frame; a tick from the success on, a cross where it failed."""
    done = _done_at(recording) + 1 if recording.success else int(moments[-1])
    for frame, moment in zip(clip, moments, strict=True):
        overlay.write_time(frame, moment * dt)
        if moment >= done or moment == moments[-1]:
            overlay.write_mark(frame, recording.success)


def _draw(
    models: Models, shots: Sequence[tuple[Recording, np.ndarray]], info: TaskInfo
) -> list[np.ndarray]:
    """A clip uint8[N, height, width, 3] of each (recording, moments [N])."""
    clips: dict[int, np.ndarray] = {}
    model_of = [models[id(recording)] for recording, _ in shots]
    for model in {id(model): model for model in model_of}.values():
        numbers = [i for i in range(len(shots)) if model_of[i] is model]
        drawn = _draw_model(model, [shots[i] for i in numbers], info)
        clips |= dict(zip(numbers, drawn, strict=True))
    return [clips[i] for i in range(len(shots))]


def _draw_model(
    model: mujoco.MjModel, shots: Sequence[tuple[Recording, np.ndarray]], info: TaskInfo
) -> list[np.ndarray]:
    """Clips of one model, rendered in one call, with the task's markers."""
    qpos = np.concatenate([recording.qpos[moments] for recording, moments in shots])
    markers = {
        body: np.concatenate([getattr(r.task, field)[moments] for r, moments in shots])
        for body, field in info.markers.items()
    }
    frames = _frames(model, qpos, markers)
    return np.split(frames, np.cumsum([len(moments) for _, moments in shots])[:-1])


def _frames(
    model: mujoco.MjModel,
    qpos: np.ndarray,
    markers: Mapping[str, np.ndarray] | None = None,
    camera: str | None = None,
) -> np.ndarray:
    """uint8[T, height, width, 3]; see `render.render_frames`."""
    return render.render_frames(
        model, qpos, markers, width=_WIDTH, height=_HEIGHT, camera=camera, shadows=True
    )
