"""Draws frames with MuJoCo's classic renderer; also the worker process behind `render`.

MUJOCO_GL must be set before MuJoCo is imported, which a training process has done long ago:
`python -m r2s_core.rendering.worker JOB_DIR` draws in a fresh one, and `--serve WIDTH HEIGHT` in
one that stays (`r2s_core.rendering.live`).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import mujoco
import numpy as np


class FrameRenderer:
    """A model, ready to be drawn in one size by one camera.

    model: its mocap body `marker`, if there is one, is moved to each frame's marker position.
    camera: by name; an unknown name, or None, takes the model's first, else a free view.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        width: int = 640,
        height: int = 480,
        camera: str | None = None,
        shadows: bool = True,
        marker: str = "goal_marker",
    ) -> None:
        buffer = model.vis.global_
        buffer.offwidth = max(buffer.offwidth, width)
        buffer.offheight = max(buffer.offheight, height)
        self._model, self._data = model, mujoco.MjData(model)
        self._renderer = mujoco.Renderer(model, height, width)
        # Shadows cost three quarters of the time on a software renderer.
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        names = [model.camera(i).name for i in range(model.ncam)]
        self._camera = names.index(camera) if camera in names else (0 if names else -1)
        bodies = [model.body(i).name for i in range(model.nbody)]
        self._mocap = int(model.body_mocapid[bodies.index(marker)]) if marker in bodies else -1

    def render(self, qpos: np.ndarray, marker: np.ndarray | None = None) -> np.ndarray:
        """uint8[height, width, 3] of the pose `qpos` [nq], the marker at `marker` [3] m."""
        self._data.qpos[:] = qpos
        if marker is not None and self._mocap >= 0:
            self._data.mocap_pos[self._mocap] = marker
        mujoco.mj_forward(self._model, self._data)
        self._renderer.update_scene(self._data, camera=self._camera)
        return self._renderer.render()

    def close(self) -> None:
        """Give the graphics context back."""
        self._renderer.close()

    def __enter__(self) -> FrameRenderer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def probe() -> None:
    """Draw one small frame; raises, or kills the process, where that is impossible."""
    xml = "<mujoco><worldbody><light pos='0 0 3'/><geom size='1'/></worldbody></mujoco>"
    with FrameRenderer(mujoco.MjModel.from_xml_string(xml), 64, 64) as renderer:
        if not renderer.render(np.zeros(0)).any():
            raise RuntimeError("the frame is black")


def work(job_dir: Path) -> None:
    """Draw the frames that `r2s_core.rendering.render.render_frames` asked for in `job_dir`."""
    job = json.loads((job_dir / "job.json").read_text())
    motion = np.load(job_dir / "motion.npz", allow_pickle=False)
    qpos, marker = motion["qpos"], motion["marker"]
    model = mujoco.MjModel.from_binary_path(str(job_dir / "model.mjb"))
    frames = np.lib.format.open_memmap(
        job_dir / "frames.npy", "w+", np.uint8, (len(qpos), job["height"], job["width"], 3)
    )
    with FrameRenderer(model, **job) as renderer:
        for index, pose in enumerate(qpos):
            frames[index] = renderer.render(pose, marker[index] if len(marker) else None)
    frames.flush()


def serve(width: int, height: int) -> None:
    """Answer the requests of `r2s_core.rendering.live.LiveRenderer` until its pipe closes."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what drivers print is no answer
    renderers: dict[int, FrameRenderer] = {}
    for line in sys.stdin:
        request, frames = json.loads(line), b""
        try:
            if "load" in request:
                _load(renderers, request, width, height)
            else:
                frames = _draw(renderers, request)
            answer = {"bytes": len(frames)}
        except Exception as error:  # whatever a driver or a model comes to, told to who asked
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer).encode() + b"\n" + frames)
        answers.flush()
    for renderer in renderers.values():
        renderer.close()


def _load(
    renderers: dict[int, FrameRenderer], request: dict[str, Any], width: int, height: int
) -> None:
    number = request["load"]
    model = mujoco.MjModel.from_binary_path(request["path"])
    if number in renderers:
        renderers.pop(number).close()
    renderers[number] = FrameRenderer(model, width, height, request["camera"], shadows=False)


def _draw(renderers: dict[int, FrameRenderer], request: dict[str, Any]) -> bytes:
    markers = request.get("markers", [None] * len(request["draw"]))
    rows = zip(request["draw"], request["qpos"], markers, strict=True)
    return b"".join(
        renderers[number].render(np.asarray(pose), marker).tobytes()
        for number, pose, marker in rows
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*map(int, sys.argv[2:]))
    elif len(sys.argv) > 1:
        work(Path(sys.argv[1]))
    else:
        probe()
