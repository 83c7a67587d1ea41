"""`r2s demo replay`: plays a recording's episodes again and tells how far they differ."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import jax
import numpy as np

from r2s_core import device
from r2s_core.config import RunConfig, load_config
from r2s_core.config.schema import LARGEST_SEED
from r2s_core.demonstrations.episode import DataSet, Episode, Start
from r2s_core.demonstrations.recording import reset_key
from r2s_core.env import VectorEnv
from r2s_core.env.build import make_environment
from r2s_core.errors import ConfigError, R2SError
from r2s_core.evaluation.episodes import Recording
from r2s_core.record import inputs
from r2s_core.record.folder import shown
from r2s_core.rendering.pictures import film_episodes
from r2s_core.rollout import Trajectory, rollout
from r2s_core.system.console import stderr_console, stdout_console
from r2s_core.system.foreign import calling
from r2s_core.system.progress import percent
from r2s_core.system.run_files import CONFIG
from r2s_lerobot import layout
from r2s_lerobot.loss import Loss
from r2s_lerobot.metadata import Metadata, load
from r2s_lerobot.read import read

VIDEO = "replay.mp4"
_FILMED = 8  # episodes, from the first
#: A recording may be someone else's, and what it names may be gone: replaying needs no rewards, so
#: it runs nobody's reward functions. The expert stays, though actions are recorded: XLA compiles it
#: together with the observations, whose last bits differ without it.
_UNUSED = (
    "curriculum={}",
    "environment.rewards=null",
    "hooks={}",
    "demonstrations.episodes=null",
    "demonstrations.noise_std=0",
)


@dataclasses.dataclass(frozen=True)
class Difference:
    """The largest difference of an observed number from the recorded one."""

    value: float = 0.0
    name: str = ""
    episode: int = 0
    step: int = 0


@dataclasses.dataclass(frozen=True)
class Replayed:
    """What came of the episodes; `succeeded` and `recorded` count successes.

    exact: episodes that are as recorded to the last bit, without images of lossy videos. worst: of
    the numbers. images: by group of images, how far their levels (or millimetres) are apart.
    """

    episodes: int
    exact: int
    worst: Difference
    images: Mapping[str, Loss]
    succeeded: int
    recorded: int
    recordings: tuple[Recording, ...]


def replay(folder: Path, episodes: int | None = None, video: Path | None = None) -> Replayed:
    """Play the first `episodes` of the recording in `folder`, print what differs and film some.

    video: the file; default: `replay.mp4` in the folder.

    Raises `R2SError` where it is no recording of r2s's, its environment cannot be built, or the
    video cannot be written there.
    """
    console = stderr_console()
    path = _free_for_video(folder, video)
    config, data = load_recording(folder, episodes)
    device.announce(device.select_device(config.training.use_gpu))
    console.print(f"preparing objects and scene, to replay {len(data.episodes):,} episodes ...")
    env = make_environment(config, training=True, rewarded=False)
    if not isinstance(env, VectorEnv):
        raise ConfigError(f"{folder}: damaged: {config.environment.use} cannot have been recorded")
    lossy = lossy_groups(load(folder))
    found = compare(env, data, tuple(lossy))
    for line in told(found, lossy):
        stdout_console().print(line)
    note = film_episodes(path, env, found.recordings)
    stdout_console().print(note or f"video: {shown(path)}")
    return found


def _free_for_video(folder: Path, video: Path | None) -> Path:
    """The video's path; raises `R2SError` where it cannot be written, or is another file's."""
    by_default = (folder / VIDEO).absolute()
    path = by_default if video is None else video.absolute()
    if path.is_dir():
        raise R2SError(f"{shown(path)} is a folder; name a file to write the video to")
    if path != by_default and os.path.lexists(path):
        raise R2SError(f"{shown(path)} exists already, and is not overwritten; name a new file")
    if path != by_default and not path.parent.is_dir():
        raise R2SError(f"{shown(path)}: there is no folder {shown(path.parent)}; create it first")
    return path


def load_recording(folder: Path, episodes: int | None = None) -> tuple[RunConfig, DataSet]:
    """The configuration of a recording, without what replaying does not need, and its episodes."""
    metadata = load(folder)
    path = folder / layout.OURS / CONFIG
    if metadata.recording is None or not path.exists():
        raise ConfigError(
            f"{folder}: not recorded by r2s, so it does not say how its episodes began; only "
            "recordings of `r2s demo record` can be replayed"
        )
    inputs.verify(path.parent)
    config = load_config(path, _UNUSED, to_train=False)
    data = read(folder, {}, episodes)
    if not data.episodes:
        raise ConfigError(f"{folder}: it has no episodes to replay")
    worlds = config.environment.engine.num_parallel_envs
    for i, episode in enumerate(data.episodes):
        start = episode.start
        if start is None:
            raise ConfigError(f"{folder}: its episodes do not say how they began; record it again")
        in_range = 0 <= start.world < worlds and 0 <= start.round < 2**31
        if start.worlds != worlds or not in_range or not 0 <= start.seed <= LARGEST_SEED:
            raise ConfigError(f"{folder}: damaged: episode {i} began as none of its recording can")
    return config, data


def lossy_groups(metadata: Metadata) -> dict[str, int]:
    """The CRF of each observation group whose video is lossy."""
    crfs = {name: metadata.features[name].info.get("video.crf") for name in metadata.videos}
    return {name.removeprefix(layout.IMAGES): int(crf) for name, crf in crfs.items() if crf}


def compare(env: VectorEnv, data: DataSet, lossy: Sequence[str] = ()) -> Replayed:
    """Play the episodes again and compare; raises `R2SError` where their shapes do not fit.

    lossy: the groups whose images are not what was seen, to the last bit.
    """
    env = env.from_the_start()
    _check_shapes(env, data)
    numbered = list(enumerate(data.episodes))
    found, exact, succeeded = Difference(), 0, 0
    images = {name: Loss() for name, of in env.spec.observations.items() if of.is_image}
    recordings: list[Recording] = []
    for _, of_round in groupby(numbered, key=lambda item: _round(item[1])):
        some = list(of_round)
        filmed = [_start(episode).world for i, episode in some if i < _FILMED]
        trajectory = _play(env, [episode for _, episode in some], filmed)
        for i, episode in some:
            world = _start(episode).world
            differs = _difference(env, trajectory, episode, i)
            seen = {} if np.isinf(differs.value) else _seen(env, trajectory, episode)
            images = {name: loss.joined(seen.get(name, Loss())) for name, loss in images.items()}
            misses = [name for name, loss in seen.items() if loss.largest and name not in lossy]
            exact += differs.value == 0.0 and not misses
            found = max(found, differs, key=lambda difference: difference.value)
            succeeded += bool(np.asarray(trajectory.step.success)[len(episode) - 1, world])
            if i < _FILMED:
                recordings.append(_recording(trajectory, episode, filmed.index(world)))
    recorded = sum(bool(episode.success) for episode in data.episodes)
    seen = {name: loss for name, loss in images.items() if loss.pixels}
    return Replayed(len(numbered), exact, found, seen, succeeded, recorded, tuple(recordings))


def told(found: Replayed, lossy: Mapping[str, int]) -> list[str]:
    """What the user reads. lossy: the CRF of each group with a lossy video."""
    lines = [f"{found.exact:,} of {found.episodes:,} episodes are as recorded, to the last bit"]
    if found.worst.value > 0:
        worst = found.worst
        lines.append(
            f"largest difference: {worst.value:.3g} of {worst.name}, in episode {worst.episode} "
            f"after {worst.step} steps"
        )
    for name, loss in found.images.items():
        crf = f" (its video is lossy, CRF {lossy[name]})" if name in lossy else ""
        apart = f"at most {loss.largest} levels apart, {loss.mean:.2g} on average"
        lines.append(f"images of {name}: {apart if loss.largest else 'all as recorded'}{crf}")
    lines.append(
        f"success: {percent(found.succeeded / found.episodes)}, as recorded "
        f"{percent(found.recorded / found.episodes)}"
    )
    return lines


def _check_shapes(env: VectorEnv, data: DataSet) -> None:
    """Raises `R2SError` where the environment is no longer the one that was recorded."""
    spec = env.spec
    ours = {name: of.shape for name, of in spec.observations.items()} | {
        "action": (spec.action_size,)
    }
    for episode in data.episodes:
        theirs = {name: x.shape[1:] for name, x in episode.obs.items()}
        theirs["action"] = episode.action.shape[1:]
        for name, shape in theirs.items():
            if ours.get(name) != shape:
                raise R2SError(
                    f"the recorded {name} has shape {list(shape)}, and the environment that the "
                    f"recording describes has {list(ours.get(name, ()))} now; replay it with the "
                    "version of r2s that recorded it"
                )
        if len(episode) > spec.max_episode_steps:
            raise R2SError(
                f"an episode has {len(episode)} steps, and the environment that the recording "
                f"describes at most {spec.max_episode_steps}"
            )


def _play(env: VectorEnv, episodes: Sequence[Episode], filmed: Sequence[int]) -> Trajectory:
    """One round: each episode's executed actions in its world, and none elsewhere."""
    spec = env.spec
    actions = np.zeros((spec.max_episode_steps, spec.num_worlds, spec.action_size), np.float32)
    for episode in episodes:
        actions[: len(episode), _start(episode).world] = episode.action
    rows = np.asarray(filmed, int)

    def watch(state: Any) -> Mapping[str, Any]:
        kept = {"qpos": state.physics.view.qpos, "task": state.task, "variant": state.variant}
        return jax.tree.map(lambda x: x[rows], kept)

    def act(params: Any, obs: Any, action: Any) -> tuple[Any, Mapping[str, Any]]:
        return action, {}

    def one_round(state: Any, obs: Any, actions: Any) -> Trajectory:
        return rollout(env, act, (), state, obs, actions, len(actions), watch)[2]

    if spec.traceable:
        one_round = jax.jit(one_round)
    start = _start(episodes[0])
    with calling("the recorded environment", env.task):
        state, obs = env.reset(reset_key(start.seed, start.round))
        return one_round(state, obs, actions)


def _difference(env: VectorEnv, trajectory: Trajectory, episode: Episode, index: int) -> Difference:
    """The largest of an episode, of what is observed or of when it ends."""
    world, length = _start(episode).world, len(episode)
    done = np.asarray(trajectory.step.done)[:, world]
    ended = int(np.argmax(done)) + 1 if done.any() else len(done)
    if ended != length:
        return Difference(np.inf, f"its length ({ended} steps, not {length})", index, ended)
    worst = Difference()
    for group in episode.obs:
        if env.spec.observations[group].is_image:
            continue
        played, recorded = _both(trajectory, episode, group)
        apart = np.abs(played - recorded)
        apart = np.where(np.isnan(apart), np.inf, apart)
        step, number = np.unravel_index(int(np.argmax(apart)), apart.shape)
        if apart[step, number] > worst.value:
            name = env.spec.observations[group].names or map(str, range(apart.shape[1]))
            label = f"{group}: {list(name)[number]}"
            worst = Difference(float(apart[step, number]), label, index, int(step))
    return worst


def _seen(env: VectorEnv, trajectory: Trajectory, episode: Episode) -> dict[str, Loss]:
    """How far its images are apart, by group."""
    found = {}
    for group in episode.obs:
        if env.spec.observations[group].is_image:
            played, recorded = _both(trajectory, episode, group)
            found[group] = Loss.between(played, recorded)
    return found


def _both(trajectory: Trajectory, episode: Episode, group: str) -> tuple[np.ndarray, np.ndarray]:
    """What was observed, played and recorded, [T, ...] each, with what followed the last step
    where that is recorded."""
    length, world = len(episode), _start(episode).world
    played = np.asarray(trajectory.obs[group])[:length, world]
    recorded = episode.obs[group]
    if episode.final_obs is None:
        return played, recorded
    after = np.asarray(trajectory.step.final_obs[group])[length - 1 : length, world]
    last = episode.final_obs[group][None]
    return np.concatenate([played, after]), np.concatenate([recorded, last])


def _recording(trajectory: Trajectory, episode: Episode, column: int) -> Recording:
    """The motion of an episode, for its video."""
    length, world = len(episode), _start(episode).world
    kept = jax.tree.map(lambda x: np.asarray(x)[:length, column], dict(trajectory.extras))
    succeeded = np.asarray(trajectory.step.success)[:length, world]
    return Recording(
        kept["qpos"],
        kept["task"],
        success=bool(succeeded[-1]),
        variant=int(kept["variant"][0]),
        succeeded=succeeded,
    )


def _round(episode: Episode) -> tuple[int, int]:
    start = _start(episode)
    return start.seed, start.round


def _start(episode: Episode) -> Start:
    assert episode.start is not None
    return episode.start
