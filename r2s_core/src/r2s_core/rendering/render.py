"""Pictures and videos of simulated motion, on machines with or without a display.

Rendering happens in a worker process, since MuJoCo fixes its graphics interface when it is
imported. Importing this module is cheap and has no side effects.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from r2s_core.errors import R2SError
from r2s_core.rendering import gl_environment
from r2s_core.system import files
from r2s_core.system.cache_folder import cache_folder
from r2s_core.system.worker import python_command

if TYPE_CHECKING:
    import mujoco

#: Graphics interfaces that need no display, in order of preference.
INTERFACES = ("egl", "osmesa")
_PROBE_S = 20
_WORKER = "r2s_core.rendering.worker"


def probe_gl() -> str | None:
    """The graphics interface that works on this machine, or None.

    Each of `INTERFACES`, or only $MUJOCO_GL where it is set, renders one frame in a separate
    process, which may crash or hang. A success is cached in the user's cache folder.
    """
    chosen = os.environ.get("MUJOCO_GL")
    candidates = (chosen,) if chosen else INTERFACES
    cached = _cached_interface()
    if cached in candidates:
        return cached
    for interface in candidates:
        if not _run_worker(interface, [], timeout=_PROBE_S):
            _cache_interface(interface)
            return interface
    return None


def missing_gl_advice() -> str:
    """One line for machines that cannot render."""
    if chosen := os.environ.get("MUJOCO_GL"):
        return f"No pictures: MUJOCO_GL={chosen} cannot draw on this machine; unset it."
    return (
        "No pictures: neither EGL nor OSMesa can draw on this machine; on Debian or Ubuntu: "
        "apt-get install libegl1 libgl1 libgl1-mesa-dri (or libosmesa6)."
    )


def render_frames(
    model: mujoco.MjModel,
    qpos: np.ndarray,
    markers: Mapping[str, np.ndarray] | None = None,
    *,
    width: int = 640,
    height: int = 480,
    camera: str | None = None,
    shadows: bool = False,
) -> np.ndarray:
    """Render uint8[T, height, width, 3] of the poses qpos [T, nq].

    model: compiled from a scene's `render_spec`. markers: positions of its mocap bodies, [T, 3] m,
    by name. camera: by name; default: the model's first. Raises R2SError if rendering fails.
    """
    interface = probe_gl()
    if interface is None:
        raise R2SError(missing_gl_advice())
    import mujoco

    with tempfile.TemporaryDirectory(prefix="r2s-render-") as folder:
        job_dir = Path(folder)
        mujoco.mj_saveModel(model, str(job_dir / "model.mjb"))
        np.savez(
            job_dir / "motion.npz",
            qpos=np.asarray(qpos, np.float64),
            **{f"marker/{n}": np.asarray(at) for n, at in (markers or {}).items()},  # type: ignore[arg-type]
        )
        job = {
            "markers": [*(markers or {})],
            "width": width,
            "height": height,
            "camera": camera,
            "shadows": shadows,
        }
        (job_dir / "job.json").write_text(json.dumps(job))
        cause = _run_worker(interface, [folder], timeout=60 + 2 * len(qpos))
        if cause:
            _clear_cache()
            raise R2SError(f"No pictures: drawing through {interface} failed: {cause}")
        return np.load(job_dir / "frames.npy", allow_pickle=False)


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Write uint8[height, width, 3] frames of even size as an H.264 MP4; replaces `path` at once.

    Raises R2SError if there are no frames or the encoder fails.
    """
    # By default it forks and runs Python code in the child, which can hang with JAX's threads.
    os.environ.setdefault("IMAGEIO_FFMPEG_NO_PREVENT_SIGINT", "1")
    import imageio_ffmpeg

    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise R2SError(f"{path} was not written: there are no frames")
    part = path.with_name(f".{path.stem}.part.mp4")
    size = (first.shape[1], first.shape[0])
    try:
        encoder = imageio_ffmpeg.write_frames(
            str(part),
            size,
            fps=fps,  # type: ignore[reportArgumentType]  # ffmpeg takes any rate
            quality=8,
            macro_block_size=2,
            ffmpeg_log_level="error",
        )
        encoder.send(None)
        for frame in itertools.chain((first,), frames):
            encoder.send(np.ascontiguousarray(frame))
        encoder.close()
        part.replace(path)
    except (OSError, RuntimeError) as error:
        raise R2SError(f"{path} could not be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def encode_png(frame: np.ndarray) -> bytes:
    """A uint8[height, width, 3] frame as a PNG file."""
    height, width, _ = frame.shape
    rows = np.empty((height, 1 + 3 * width), np.uint8)
    rows[:, 0] = 2  # each row as its difference from the one above, which compresses best
    pixels = frame.reshape(height, 3 * width)
    rows[:, 1:] = np.diff(pixels, axis=0, prepend=np.zeros_like(pixels[:1]))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def worker_command(*arguments: str, module: str = _WORKER) -> list[str]:
    """The command that starts a rendering process."""
    return python_command("-m", module, *arguments)


def worker_environment(interface: str) -> dict[str, str]:
    """The environment variables of that process."""
    environment = os.environ | {"MUJOCO_GL": interface, gl_environment.PROBING: "1"}
    # An earlier import in this process may have set PyOpenGL to another platform.
    environment.pop("PYOPENGL_PLATFORM", None)
    return environment


def _run_worker(interface: str, arguments: list[str], timeout: float) -> str:
    """Run the worker; returns why it failed, or an empty string."""
    try:
        worker = subprocess.run(
            worker_command(*arguments),
            env=worker_environment(interface),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout:.0f} s"
    if worker.returncode == 0:
        return ""
    return (worker.stderr.strip().splitlines() or [f"exit status {worker.returncode}"])[-1]


def _cache_file() -> Path | None:
    folder = cache_folder()
    return folder and folder / "gl.json"


def _cached_interface() -> str | None:
    if (path := _cache_file()) is None:
        return None
    try:
        cached = json.loads(path.read_text())
        return cached["interface"] if cached["mujoco"] == version("mujoco") else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _cache_interface(interface: str) -> None:
    if (path := _cache_file()) is None:
        return
    with contextlib.suppress(OSError):  # only a convenience: it is probed again the next time
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(path, {"interface": interface, "mujoco": version("mujoco")})


def _clear_cache() -> None:
    if (path := _cache_file()) is not None:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
