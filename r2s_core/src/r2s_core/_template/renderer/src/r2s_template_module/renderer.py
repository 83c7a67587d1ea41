"""The renderer: draws what the cameras of W worlds see. This one casts ray after ray."""

from __future__ import annotations

import copy
from typing import Any

import mujoco
import numpy as np
from r2s_core.camera import Camera
from r2s_core.errors import BackendError
from r2s_core.types import Array, Named, SeenScene

from r2s_template_module.plugin import TemplateNameConfig

_SEEN_GROUPS = np.array([1, 1, 1, 0, 0, 0], np.uint8)
_NO_COLOUR = (0.5, 0.5, 0.5, 1.0)  # of a geom that has its material's


def make(scene: SeenScene, num_worlds: int, config: TemplateNameConfig) -> RayAfterRay:
    """Build the renderer."""
    return RayAfterRay(scene, num_worlds, config)


class RayAfterRay:
    """See `r2s_core.types.Renderer`."""

    name = "template_name"
    traceable = False  # True where `render` may be called inside jax.jit
    variable = frozenset({"geom_rgba"})  # the model fields that may differ between worlds

    def __init__(self, scene: SeenScene, num_worlds: int, config: TemplateNameConfig) -> None:
        if refused := sorted(scene.varied - self.variable):
            raise BackendError(f"the renderer template_name cannot vary {refused[0]} per world")
        self.num_worlds, self._cameras, self._shade = num_worlds, scene.cameras, config.shade
        self._model = copy.copy(scene.model)  # the scene's own stays as it is
        self._data = mujoco.MjData(self._model)

    def render(self, qpos: Array, mocap_pos: Array, fields: Named, due: Named) -> Named:
        """The images of a state, by observation group."""
        states = np.asarray(qpos), np.asarray(mocap_pos)
        images: Any = {
            group: np.zeros((self.num_worlds, *spec.shape), spec.dtype)
            for name, camera in self._cameras.items()
            for group, spec in camera.groups(name).items()
        }
        for world in range(self.num_worlds):
            wanted = [name for name in self._cameras if np.asarray(due[name])[world]]
            if not wanted:
                continue
            for field, values in fields.items():
                getattr(self._model, field)[...] = np.asarray(values)[world]
            self._data.qpos[:], self._data.mocap_pos[:] = (values[world] for values in states)
            mujoco.mj_kinematics(self._model, self._data)
            mujoco.mj_camlight(self._model, self._data)
            for name in wanted:
                for group, image in self._image(name, self._cameras[name]).items():
                    images[group][world] = image
        return images

    def _image(self, name: str, camera: Camera) -> dict[str, np.ndarray]:
        """All channels of one camera in the world of `_data`, [H, W, C] each."""
        index = self._model.camera(name).id
        half = np.tan(np.radians(self._model.cam_fovy[index]) / 2)
        turn = self._data.cam_xmat[index].reshape(3, 3)
        height, width = camera.shape
        rgb = np.zeros((height, width, 3), np.uint8)
        depth = np.zeros((height, width, 1), np.uint16)
        body = np.zeros((height, width, 1), np.uint8)
        for row, column in np.ndindex(height, width):
            # Through the pixel's centre; of length 1 along the viewing direction.
            right = (2 * column + 1 - width) / height * half
            up = (height - 2 * row - 1) / height * half
            ray = turn @ (right, up, -1.0)
            metres, geom, normal = self._cast(self._data.cam_xpos[index], ray)
            if geom < 0:
                continue
            slant = abs(normal @ ray) / np.linalg.norm(ray)
            bright = 1 - self._shade + self._shade * slant
            rgb[row, column] = np.round(255 * bright * self._colour(geom))
            body[row, column] = self._model.geom_bodyid[geom] + 1
            if camera.depth_range[0] <= metres <= camera.depth_range[1]:
                depth[row, column] = round(1000 * metres)
        every = {name: rgb, f"{name}_depth": depth, f"{name}_segmentation": body}
        return {group: every[group] for group in camera.groups(name)}

    def _cast(self, origin: np.ndarray, ray: np.ndarray) -> tuple[float, int, np.ndarray]:
        """How many times the ray's length away, which geom (-1: none), and its surface's normal."""
        geom, normal = np.full((1, 1), -1, np.int32), np.zeros(3)
        distance = mujoco.mj_ray(
            self._model, self._data, origin, ray, _SEEN_GROUPS, 1, -1, geom, normal
        )
        return distance, int(geom[0, 0]), normal

    def _colour(self, geom: int) -> np.ndarray:
        """[3], 0 to 1: the geom's own, or else its material's."""
        rgba, material = self._model.geom_rgba[geom], self._model.geom_matid[geom]
        if material >= 0 and tuple(rgba) == _NO_COLOUR:
            rgba = self._model.mat_rgba[material]
        return rgba[:3]
