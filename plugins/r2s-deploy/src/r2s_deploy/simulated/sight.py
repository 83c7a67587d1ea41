"""Draws what cameras of the simulated robot see; part of the server."""

from __future__ import annotations

import base64
import collections
from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np

_NOT_DRAWN = (3, 4, 5)  # MuJoCo's geom groups, as in training
_MOST_DEPTH = 65.535  # m


def add(spec: mujoco.MjSpec, cameras: Mapping[str, Any]) -> None:
    """Add cameras to a scene, in place of those with the same names.

    cameras: by name, `mount` (a body or site, or "world"), `position`, `quaternion`,
    `field_of_view` and `size`, as MuJoCo has them.

    Raises `SystemExit` where the scene has no such mount.
    """
    for camera in list(spec.cameras):
        if camera.name in cameras:
            spec.delete(camera)
    for name, facts in cameras.items():
        mount, pos, quat = (
            facts["mount"],
            np.array(facts["position"]),
            np.array(facts["quaternion"]),
        )
        site = spec.site(mount)
        body = spec.worldbody if mount == "world" else site.parent if site else spec.body(mount)
        if body is None:
            raise SystemExit(f"the scene has no {mount}, which carries the camera {name}")
        if site:
            pos, quat = _in_parent(site, pos, quat)
        body.add_camera(name=name, pos=pos, quat=quat, fovy=facts["field_of_view"])
    buffer = spec.visual.global_
    for facts in cameras.values():
        buffer.offwidth = max(buffer.offwidth, facts["size"][0])
        buffer.offheight = max(buffer.offheight, facts["size"][1])


def _in_parent(
    site: mujoco.MjsSite, pos: np.ndarray, quat: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    moved, turned = np.empty(3), np.empty(4)
    mujoco.mju_rotVecQuat(moved, pos, site.quat)
    mujoco.mju_mulQuat(turned, site.quat, quat)
    return site.pos + moved, turned


class Sight:
    """Draws one scene; its images are of `late` cycles ago."""

    def __init__(self, model: mujoco.MjModel, cameras: Mapping[str, Any], late: int) -> None:
        self._model, self._cameras = model, cameras
        self._data, self._option = mujoco.MjData(model), mujoco.MjvOption()
        self._option.geomgroup[list(_NOT_DRAWN)] = 0
        self._past: collections.deque[np.ndarray] = collections.deque(maxlen=late + 1)
        self._renderers: dict[str, mujoco.Renderer] = {}

    def reset(self) -> None:
        """Forget what was."""
        self._past.clear()

    def remember(self, qpos: np.ndarray) -> None:
        """What cameras see after `late` more cycles."""
        self._past.append(qpos.copy())

    def newest(self) -> np.ndarray:
        """The state after the last cycle."""
        return self._past[-1]

    def image(self, name: str) -> dict[str, Any]:
        """What a camera sees: `size`, and as base64 `rgb` and `depth` (mm, 0: beyond its range)."""
        if name not in self._cameras:
            return {"error": f"there is no camera {name!r}"}
        try:
            renderer = self._renderer(name)
        except Exception as error:  # what OpenGL raises has no common base
            return {
                "error": f"images cannot be drawn here ({error}); install EGL (libegl1), or set "
                "MUJOCO_GL"
            }
        self._data.qpos[:] = self._past[0]
        mujoco.mj_forward(self._model, self._data)
        renderer.update_scene(self._data, camera=name, scene_option=self._option)
        rgb = renderer.render()
        renderer.enable_depth_rendering()
        metres = renderer.render()
        renderer.disable_depth_rendering()
        depth = np.where(metres < _MOST_DEPTH, 1e3 * metres, 0.0).round().astype("<u2")
        images = {"rgb": rgb, "depth": depth}
        coded = {k: base64.b64encode(x.tobytes()).decode() for k, x in images.items()}
        return {"size": [renderer.width, renderer.height], **coded}

    def _renderer(self, name: str) -> mujoco.Renderer:
        """Made in the thread that uses it, to which OpenGL binds it."""
        if name not in self._renderers:
            width, height = self._cameras[name]["size"]
            self._renderers[name] = mujoco.Renderer(self._model, height=height, width=width)
        return self._renderers[name]
