"""Frames on demand from a persistent process, for `render()` of a running environment.

The worker (`python -m r2s_core.rendering.worker --serve WIDTH HEIGHT`) reads a JSON line for each
request on its standard input and answers with a JSON line, followed by the frames as raw bytes, on
its standard output. It ends when its input does, so it never outlives this process.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from r2s_core.errors import R2SError
from r2s_core.rendering import render

if TYPE_CHECKING:
    import mujoco

_ANSWER_S = 60.0  # to start and draw the first frame on a software renderer; 2 s for each more


class LiveRenderer:
    """Renders poses of models, which it stores by number.

    camera: by name; an unknown name, or None, selects a model's first camera, else a free view.
    """

    def __init__(self, width: int = 480, height: int = 360, camera: str | None = None) -> None:
        """Raises `R2SError` where this machine cannot render."""
        interface = render.probe_gl()
        if interface is None:
            raise R2SError(render.missing_gl_advice())
        self._shape, self._camera = (height, width, 3), camera
        self._folder = tempfile.TemporaryDirectory(prefix="r2s-render-")
        self._errors = (Path(self._folder.name) / "stderr").open("w+")
        self._worker = subprocess.Popen(
            render.worker_command("--serve", str(width), str(height)),
            env=render.worker_environment(interface),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def load(self, number: int, model: mujoco.MjModel) -> None:
        """Store a model under a number, replacing the one that had it."""
        import mujoco

        path = Path(self._folder.name) / "model.mjb"
        mujoco.mj_saveModel(model, str(path))
        self._ask({"load": number, "path": str(path), "camera": self._camera}, 1)

    def draw(
        self,
        numbers: np.ndarray,
        qpos: np.ndarray,
        markers: Mapping[str, np.ndarray] | None = None,
    ) -> np.ndarray:
        """uint8[N, height, width, 3] of the models int[N] in the poses [N, nq].

        markers: positions of each model's mocap bodies, [N, 3] m, by name.

        Raises `R2SError` where the worker fails, with its reason.
        """
        request = {
            "draw": np.asarray(numbers).tolist(),
            "qpos": np.asarray(qpos).tolist(),
            "markers": {n: np.asarray(at).tolist() for n, at in (markers or {}).items()},
        }
        frames = self._ask(request, len(numbers))
        return np.frombuffer(frames, np.uint8).reshape(-1, *self._shape).copy()

    def close(self) -> None:
        """Stop the worker, which releases the graphics contexts; closing again does nothing."""
        for pipe in (self._worker.stdin, self._worker.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # it has ended, with unread data
                    pipe.close()
        try:
            self._worker.wait(5)
        except subprocess.TimeoutExpired:
            self._worker.kill()
            self._worker.wait()
        self._errors.close()
        self._folder.cleanup()

    def _ask(self, request: dict[str, Any], amount: int) -> bytes:
        """The bytes of the worker's answer; a worker that hangs is killed."""
        stdin, stdout = self._worker.stdin, self._worker.stdout
        assert stdin is not None
        assert stdout is not None
        watch = threading.Timer(_ANSWER_S + 2.0 * amount, self._worker.kill)
        watch.start()
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
            answer = json.loads(stdout.readline())
            data = stdout.read(answer.get("bytes", 0))
        except (OSError, ValueError) as error:  # it has ended, and its pipes with it
            raise R2SError(f"No pictures: the renderer ended: {self._last_words()}") from error
        finally:
            watch.cancel()
        if "error" in answer:
            raise R2SError(f"No pictures: {answer['error']}")
        return data

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1] if lines else f"exit status {self._worker.wait()}"
