"""Renders frames with MuJoCo's classic renderer; also the worker process behind `render`.

MUJOCO_GL must be set before MuJoCo is imported, which a training process has done long ago:
`python -m r2s_core.rendering.worker JOB_DIR` renders in a new process, and `--serve WIDTH HEIGHT`
in a persistent one (`r2s_core.rendering.live`).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import mujoco
import numpy as np


class FrameRenderer:
    """A renderer of one model at one size with one camera.

    camera: by name; an unknown name, or None, selects the model's first camera, else a free view.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        width: int = 640,
        height: int = 480,
        camera: str | None = None,
        shadows: bool = True,
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
        ids = {model.body(i).name: int(model.body_mocapid[i]) for i in range(model.nbody)}
        self._mocap = {name: number for name, number in ids.items() if number >= 0}

    def render(
        self, qpos: np.ndarray, markers: Mapping[str, np.ndarray] | None = None
    ) -> np.ndarray:
        """uint8[height, width, 3] of the pose `qpos` [nq].

        markers: positions of mocap bodies, [3] m, by name. Raises ValueError for an unknown one.
        """
        self._data.qpos[:] = qpos
        for name, place in (markers or {}).items():
            if name not in self._mocap:
                raise ValueError(f"the rendered scene has no mocap body '{name}'")
            self._data.mocap_pos[self._mocap[name]] = place
        mujoco.mj_forward(self._model, self._data)
        self._renderer.update_scene(self._data, camera=self._camera)
        return self._renderer.render()

    def close(self) -> None:
        """Release the graphics context."""
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
    """Render one small frame; raises, or kills the process, where that is impossible."""
    xml = "<mujoco><worldbody><light pos='0 0 3'/><geom size='1'/></worldbody></mujoco>"
    with FrameRenderer(mujoco.MjModel.from_xml_string(xml), 64, 64) as renderer:
        if not renderer.render(np.zeros(0)).any():
            raise RuntimeError("the frame is black")


def work(job_dir: Path) -> None:
    """Render the frames that `r2s_core.rendering.render.render_frames` requests in `job_dir`."""
    job = json.loads((job_dir / "job.json").read_text())
    motion = np.load(job_dir / "motion.npz", allow_pickle=False)
    qpos = motion["qpos"]
    markers = {name: motion[f"marker/{name}"] for name in job.pop("markers")}
    model = mujoco.MjModel.from_binary_path(str(job_dir / "model.mjb"))
    frames = np.lib.format.open_memmap(
        job_dir / "frames.npy", "w+", np.uint8, (len(qpos), job["height"], job["width"], 3)
    )
    with FrameRenderer(model, **job) as renderer:
        for index, pose in enumerate(qpos):
            frames[index] = renderer.render(pose, {n: at[index] for n, at in markers.items()})
    frames.flush()


def serve(width: int, height: int) -> None:
    """Answer the requests of `r2s_core.rendering.live.LiveRenderer` until its pipe closes."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # output of drivers is not an answer
    renderers: dict[int, FrameRenderer] = {}
    for line in sys.stdin:
        request, frames = json.loads(line), b""
        try:
            if "load" in request:
                _load(renderers, request, width, height)
            else:
                frames = _draw(renderers, request)
            answer = {"bytes": len(frames)}
        except Exception as error:  # any failure of a driver or a model is sent to the client
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
    markers = request["markers"]
    rows = enumerate(zip(request["draw"], request["qpos"], strict=True))
    return b"".join(
        renderers[number]
        .render(np.asarray(pose), {name: at[index] for name, at in markers.items()})
        .tobytes()
        for index, (number, pose) in rows
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*map(int, sys.argv[2:]))
    elif len(sys.argv) > 1:
        work(Path(sys.argv[1]))
    else:
        probe()
