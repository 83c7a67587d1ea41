"""The renderer `gl`: MuJoCo's own OpenGL pictures, drawn by one process per core.

It draws textures and highlights, which `rays` does not. MUJOCO_GL must be set before MuJoCo is
imported, hence processes (`gl_worker`); states and images are in memory that they share.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import IO, Any

import mujoco
import numpy as np

from r2s_core import device
from r2s_core.camera import CHANNELS, Camera
from r2s_core.cameras.plugins import GlConfig
from r2s_core.cameras.shared_arrays import Layout, SharedArrays, size_of
from r2s_core.errors import BackendError
from r2s_core.rendering import render
from r2s_core.types import Array, Named, SeenScene

_WORKER = "r2s_core.cameras.gl_worker"
_NUMBER_BYTES = 8  # as in gl_worker, which this process does not import
_START_S, _IMAGE_S = 60.0, 2.0  # longest waits: for the first picture, and for each one more
_END_S = 2.0  # for a process to end by itself
#: The fields that may differ between worlds.
VARIABLE = frozenset(
    {
        *("body_pos", "body_quat", "jnt_pos", "jnt_axis", "cam_pos", "cam_quat", "cam_fovy"),
        *("geom_pos", "geom_quat", "geom_size", "geom_type", "geom_group", "geom_dataid"),
        *("geom_aabb", "geom_rbound"),  # what bounds a geom follows from these
        *("geom_rgba", "geom_matid", "mat_rgba", "mat_emission", "mat_specular", "mat_shininess"),
        *("mat_texid", "mat_texrepeat", "mat_texuniform", "tex_data"),
        *("light_active", "light_type", "light_pos", "light_dir", "light_ambient"),
        *("light_diffuse", "light_specular", "light_attenuation", "light_cutoff"),
        "light_exponent",
    }
)


class GL:
    """See `r2s_core.types.Renderer`. Use it from one thread."""

    name = "gl"
    traceable = False
    variable = VARIABLE

    def __init__(self, scene: SeenScene, num_worlds: int, config: GlConfig) -> None:
        """Raises `BackendError` where this machine or this scene cannot be drawn."""
        _check(scene)
        interface = render.probe_gl()
        if interface is None:
            raise BackendError(f"the renderer gl does not work here: {render.missing_gl_advice()}")
        self.num_worlds = num_worlds
        self._cameras = tuple(scene.cameras)
        self._groups = tuple(g for n, c in scene.cameras.items() for g in c.groups(n))
        layout = _layout(scene, num_worlds)
        device.check_memory(
            size_of(layout), f"images of {num_worlds:,} worlds", "use fewer worlds or smaller ones"
        )
        self._arrays = SharedArrays(layout)
        mujoco.mj_saveModel(scene.model, None, self._arrays["model"])
        count = min(config.workers or _cores(), num_worlds)
        self._fields: Named | None = None
        self._workers = _Workers(count, interface, _job(scene, layout, self._arrays.descriptor))

    def render(self, qpos: Array, mocap_pos: Array, fields: Named, due: Named) -> Named:
        """See `r2s_core.types.Renderer.render`; returns NumPy arrays. Raises `BackendError` where
        a worker process fails."""
        arrays = self._arrays
        arrays["qpos"][:] = np.asarray(qpos)
        if arrays["mocap_pos"].size:
            arrays["mocap_pos"][:] = np.asarray(mocap_pos)
        if fields is not self._fields:
            for name, values in fields.items():
                arrays[f"field/{name}"][:] = np.asarray(values)
            arrays["fields_number"] += 1
            self._fields = fields
        for row, name in enumerate(self._cameras):
            arrays["due"][row] = np.asarray(due[name])
        self._workers.draw(
            worlds=int(arrays["due"].any(axis=0).sum()), images=int(arrays["due"].sum())
        )
        # Copies: the next call draws over the shared ones.
        images: Any = {group: arrays[f"image/{group}"].copy() for group in self._groups}
        return images

    def close(self) -> None:
        """End the worker processes; closing again does nothing."""
        self._workers.close()


class _Workers:
    """The processes, each of which draws every n-th world."""

    def __init__(self, count: int, interface: str, job: Mapping[str, Any]) -> None:
        """Starts them, and waits until all can draw."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # `_end` closes it
        environment = render.worker_environment(interface)
        # The software rasterizer's own threads would only compete with the other processes.
        environment.setdefault("LP_NUM_THREADS", "0")
        self._processes = [
            subprocess.Popen(
                render.worker_command(module=_WORKER),
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
                pass_fds=(job["descriptor"],),
                process_group=0,  # Ctrl-C is for this process, which may want one more picture
            )
            for _ in range(count)
        ]
        self._end = weakref.finalize(self, _end, self._processes, self._errors, job["descriptor"])
        self._number = 0
        for share, process in enumerate(self._processes):
            line = json.dumps({**job, "share": share, "shares": count}) + "\n"
            self._send(process, line.encode())
        self._wait(self._processes, _START_S + _IMAGE_S * count)

    def draw(self, worlds: int, images: int) -> None:
        """Let them draw, and wait for it. worlds, images: how many are due."""
        self._number += 1
        busy = self._processes[:worlds]
        for process in busy:
            self._send(process, self._number.to_bytes(_NUMBER_BYTES, "little"))
        self._wait(busy, _START_S + _IMAGE_S * images)

    def close(self) -> None:
        self._end()

    def _send(self, process: subprocess.Popen[bytes], message: bytes) -> None:
        if not self._end.alive:
            raise BackendError("the renderer gl has ended; build a new one")
        assert process.stdin is not None
        try:
            process.stdin.write(message)
        except OSError:
            self._fail(process, "ended")

    def _wait(self, processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
        """Until each has answered with the number of this draw. Answers to earlier ones, whose
        wait was interrupted, are skipped, so no image is of an earlier state."""
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            for process in processes:
                assert process.stdout is not None
                selector.register(process.stdout, selectors.EVENT_READ, process)
            while selector.get_map():
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    hangs = next(iter(selector.get_map().values())).data
                    self._fail(hangs, f"did not answer for {seconds:.0f} s")
                for key, _ in ready:
                    answer = os.read(key.fd, _NUMBER_BYTES)
                    if len(answer) < _NUMBER_BYTES:
                        self._fail(key.data, "ended")
                    if int.from_bytes(answer, "little") == self._number:
                        selector.unregister(key.fileobj)

    def _fail(self, process: subprocess.Popen[bytes], what: str) -> None:
        """Raises `BackendError` with the worker's last words, after ending all."""
        status = None
        if what == "ended":
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(1.0)
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else "" if status is None else f"exit status {status}"
        self._end()
        advice = ""
        if status is not None and status < 0:
            advice = "; something stopped it, perhaps for want of memory: free some, or set workers"
        if status is not None and status > 0:
            advice = "; install EGL (libegl1), or use renderer: rays, which needs no such library"
        raise BackendError(
            f"a process of the renderer gl {what}" + (reason and f": {reason}") + advice
        )


def _end(processes: Sequence[subprocess.Popen[bytes]], errors: IO[bytes], descriptor: int) -> None:
    """Close their input, which ends them, and kill those that do not."""
    for process in processes:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
    for process in processes:
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    errors.close()
    os.close(descriptor)


def _check(scene: SeenScene) -> None:
    model = scene.model
    if refused := sorted(scene.varied - VARIABLE):
        raise BackendError(
            f"the renderer gl cannot vary {refused[0]} per world; drop the randomizer, "
            "or use renderer: rays where it draws that"
        )
    if model.nflex or model.nskin:
        raise BackendError(
            "the renderer gl draws geoms, and the scene has flexes or skins; leave them out of "
            "`camera_spec`"
        )
    segments = any("segmentation" in c.channels for c in scene.cameras.values())
    if segments and model.nbody > 254:
        raise BackendError(
            f"`segmentation` has room for 254 bodies, and the scene has {model.nbody}; drop the "
            "channel"
        )


def _layout(scene: SeenScene, worlds: int) -> Layout:
    model = scene.model
    layout: dict[str, tuple[tuple[int, ...], str]] = {
        "model": ((mujoco.mj_sizeModel(model),), "uint8"),
        "due": ((len(scene.cameras), worlds), "bool"),
        "qpos": ((worlds, model.nq), "float32"),
        "mocap_pos": ((worlds, model.nmocap, 3), "float32"),
        "fields_number": ((1,), "int64"),
    }
    for name in sorted(scene.varied):
        values = np.asarray(getattr(model, name))
        layout[f"field/{name}"] = ((worlds, *values.shape), values.dtype.str)
    for name, camera in scene.cameras.items():
        for group, spec in camera.groups(name).items():
            layout[f"image/{group}"] = ((worlds, *spec.shape), spec.dtype)
    return layout


def _job(scene: SeenScene, layout: Layout, descriptor: int) -> dict[str, Any]:
    """What the workers read first; see `gl_worker`."""
    cameras = [
        {
            "id": int(scene.model.camera(name).id),
            "size": camera.size,
            "depth_range": camera.depth_range,
            "groups": _by_channel(name, camera),
        }
        for name, camera in scene.cameras.items()
    ]
    return {"layout": layout, "descriptor": descriptor, "cameras": cameras}


def _by_channel(name: str, camera: Camera) -> dict[str, str]:
    """channel -> observation group; both are in the order of `CHANNELS`."""
    channels = [channel for channel in CHANNELS if channel in camera.channels]
    return dict(zip(channels, camera.groups(name), strict=True))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def make(scene: SeenScene, num_worlds: int, config: GlConfig) -> GL:
    """Raises `BackendError` where this machine or this scene cannot be drawn."""
    return GL(scene, num_worlds, config)
