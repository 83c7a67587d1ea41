"""Reads an episode that `r2s eval --failures` kept, and plays it again in MuJoCo.

from r2s_core.evaluation.replay import read_episode, replay
episode = read_episode("runs/quickstart/failures-1/missed_grasp.npz")
episode.model, episode.arrays["qpos"]  # an MjModel, float64[T, nq]
replay(episode)  # m and rad: how far the simulation came from the log, float64[T]
"""

from __future__ import annotations

import dataclasses
import io
import json
import time
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from r2s_core.backends.silence import silenced
from r2s_core.errors import R2SError
from r2s_core.evaluation.failed_episodes import FORMAT, MOTION, STATE
from r2s_core.system import files
from r2s_core.system.trust import is_trusted_content, record_content

_SAME = 1e-3  # m or rad: below this a replay is the same motion
_LIMIT = 256 * files.MIB
#: What acts on a world from outside, besides `ctrl`.
_INPUTS = (
    *("ctrl", "qfrc_applied", "xfrc_applied", "mocap_pos", "mocap_quat", "eq_active", "userdata"),
)


@dataclasses.dataclass(frozen=True)
class LoggedEpisode:
    """An episode of T control steps.

    model: the world's own, with what was randomized in it. about: facts, plain values. arrays: [T,
    ...] each, at the start of every control step: `state` (MuJoCo's mjSTATE_INTEGRATION), `time`
    (s), `qpos`, `qvel`, `mocap_pos`, `mocap_quat`; `ctrl`, the targets that led there; `action`,
    what the policy commanded next; markers and the task's metrics after the step by name.
    """

    model: mujoco.MjModel
    about: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]


def read_episode(path: Path | str, trust: bool = False) -> LoggedEpisode:
    """The episode in the file; nothing in it is executed.

    trust: read it though it was not written here. Its model is in MuJoCo's binary format, whose
    loader believes much of what it reads: a file that was made up for it crashes Python or worse.

    Raises R2SError where the file is not trusted, is no episode, is damaged, or is of another
    version of MuJoCo.
    """
    data = files.read_bytes(path, limit=_LIMIT, what="episode")
    if trust:
        record_content(data, Path(path))
    elif not is_trusted_content(data):
        raise R2SError(
            f"{path} was not written here, and a made-up model in it could crash MuJoCo or worse; "
            "if you trust who made it add --trust (in Python: trust=True)"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > _LIMIT:
                raise R2SError(f"{path}: it unpacks to more than {_LIMIT // files.MIB} MiB.")
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = json.loads(str(arrays.pop("about")))
        kind = about["format"]
    except (
        ValueError,
        KeyError,
        TypeError,
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise R2SError(
            f"{path} is no episode of `r2s eval --failures`, or is damaged: {error}"
        ) from error
    if kind != FORMAT:
        raise R2SError(f"{path}: its format is {kind!r}; this version of r2s reads {FORMAT!r}.")
    if about.get("mujoco") != mujoco.__version__:
        raise R2SError(
            f"{path} was written with MuJoCo {about.get('mujoco')}, whose models MuJoCo "
            f"{mujoco.__version__} does not read; pip install mujoco=={about.get('mujoco')}"
        )
    model = _model(path, arrays.pop("model", None))
    _check(path, model, about, arrays)
    return LoggedEpisode(model, about, arrays)


def replay(episode: LoggedEpisode) -> np.ndarray:
    """Steps MuJoCo from the first state under the log's inputs.

    Returns float64[T], how far it came from the log: the largest difference of any of `qpos`, m and
    rad, at the start of each control step; the first is 0. Where the backend was `mujoco`, all are,
    to the last bit, on the same kind of processor.
    """
    model, states = episode.model, episode.arrays["state"]
    data, logged = mujoco.MjData(model), mujoco.MjData(model)
    apart = np.zeros(len(states))
    mujoco.mj_setState(model, data, states[0], STATE)
    with silenced():
        for step, state in enumerate(states[1:], 1):
            mujoco.mj_setState(model, logged, state, STATE)
            for name in _INPUTS:
                getattr(data, name)[...] = getattr(logged, name)
            mujoco.mj_step(model, data, episode.about["substeps"])
            apart[step] = np.abs(data.qpos - logged.qpos).max()
    return apart


def described(episode: LoggedEpisode) -> list[str]:
    """What it is, and what became of replaying it, in lines."""
    about, steps = episode.about, len(episode.arrays["state"])
    of = ", ".join(str(about[key]) for key in ("object", "run", "backend") if about.get(key))
    lines = [f"failure: {about['failure']} ({of})"]
    lines.append(f"{steps} control steps of {1000 * about['control_dt_s']:.3g} ms")
    apart = replay(episode)
    away = np.flatnonzero(~(apart < _SAME))
    if not apart.any():
        lines.append("replayed in MuJoCo: the same motion, to the last bit")
    elif not len(away):
        lines.append(f"replayed in MuJoCo: the same motion within {apart.max():.1g} m or rad")
    else:
        after = away[0] * about["control_dt_s"]
        why = "" if about["exact"] else "; its backend's state is only known in single precision"
        lines.append(
            f"replayed in MuJoCo: more than 1 mm or mrad apart after {after:.2f} s, and "
            f"{apart[-1]:.2g} m or rad at the end{why}"
        )
    return lines


def view(episode: LoggedEpisode) -> None:
    """Shows the logged motion in MuJoCo's viewer, again and again, until its window is closed.

    Raises R2SError where there is no display.
    """
    import mujoco.viewer

    model, data = episode.model, mujoco.MjData(episode.model)
    pause = float(episode.about["control_dt_s"])
    try:
        viewer = mujoco.viewer.launch_passive(model, data)
    except Exception as error:  # of GLFW, which names none of its own
        raise R2SError(f"MuJoCo's viewer cannot open a window here: {error}") from error
    with viewer:
        while viewer.is_running():
            for state in episode.arrays["state"]:
                mujoco.mj_setState(model, data, state, STATE)
                mujoco.mj_forward(model, data)
                viewer.sync()
                time.sleep(pause)


def _model(path: Path | str, binary: np.ndarray | None) -> mujoco.MjModel:
    if binary is None or binary.dtype != np.uint8 or binary.ndim != 1:
        raise R2SError(f"{path} holds no model; it cannot be replayed.")
    try:
        with silenced():
            return mujoco.MjModel.from_binary_path("model.mjb", {"model.mjb": binary.tobytes()})
    except (ValueError, RuntimeError, mujoco.FatalError) as error:
        raise R2SError(f"{path}: MuJoCo refuses its model: {error}") from error


def _check(
    path: Path | str,
    model: mujoco.MjModel,
    about: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Raises R2SError where the arrays are not of one episode of this model."""
    data = mujoco.MjData(model)
    shapes: dict[str, tuple[int, ...]] = {"state": (mujoco.mj_stateSize(model, STATE),)}
    shapes |= {name: np.shape(getattr(data, name)) for name in MOTION}
    state = arrays.get("state")
    steps = len(state) if state is not None and state.ndim else 0
    for name, shape in shapes.items():
        found = arrays.get(name)
        if (
            found is None
            or found.dtype != np.float64
            or found.shape != (steps, *shape)
            or not steps
        ):
            raise R2SError(f"{path}: '{name}' does not fit its model; it is damaged or made up.")
    substeps = about.get("substeps")
    if not isinstance(substeps, int) or not 0 < substeps <= 10_000:
        raise R2SError(f"{path}: its substeps are {substeps!r}; it is damaged or made up.")
