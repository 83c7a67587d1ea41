"""The renderer `rays`: one ray through the centre of each pixel, cast in C threads and shaded.

It needs no graphics library, gives the same picture on every machine, and is the fastest on a CPU.
Lighting is MuJoCo's own without highlights: ambient and diffuse light, from directional, positional
and spot lights and the headlight. There are no shadows, and a texture is its mean colour; patterns
and a background (`r2s_core.look_fields`) are drawn.
"""

from __future__ import annotations

import copy
import dataclasses
from functools import partial
from typing import Any

import jax
import mujoco
import numpy as np
from mujoco.batch import Batch

from r2s_core.camera import DRAWN_GROUPS, Camera
from r2s_core.cameras import shading
from r2s_core.cameras.patterns import Background, Patterns
from r2s_core.cameras.plugins import RaysConfig
from r2s_core.errors import BackendError
from r2s_core.look_fields import BACKGROUND_FIELDS, LOOK_FIELDS, PATTERN_FIELDS
from r2s_core.types import Array, Named, SeenScene

#: What may differ between worlds: all that is drawn.
_VARIABLE = frozenset(
    {
        *("body_pos", "body_quat", "jnt_pos", "jnt_axis", "cam_pos", "cam_quat", "cam_fovy"),
        *("geom_pos", "geom_quat", "geom_size", "geom_type", "geom_group", "geom_dataid"),
        *("geom_aabb", "geom_rbound"),  # what bounds a geom follows from these
        *("geom_rgba", "geom_matid", "mat_rgba", "mat_emission"),
        *("light_pos", "light_dir", "light_ambient", "light_diffuse"),
        *LOOK_FIELDS,
    }
)
_DEFAULT_RGBA = np.array([0.5, 0.5, 0.5, 1.0], np.float32)  # a geom without a colour of its own
_NEEDLESS = (
    mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
    | mujoco.mjtDisableBit.mjDSBL_CONTACT
    | mujoco.mjtDisableBit.mjDSBL_ACTUATION
    | mujoco.mjtDisableBit.mjDSBL_SENSOR
)
_POSITION = int(mujoco.mjtStage.mjSTAGE_POS)


class Rays:
    """See `r2s_core.types.Renderer`. One instance owns one Batch; use it from one thread."""

    name = "rays"
    traceable = False
    variable = _VARIABLE

    def __init__(self, scene: SeenScene, num_worlds: int, config: RaysConfig) -> None:
        """Raises `BackendError` where a field is to vary that it does not draw."""
        if refused := sorted(scene.varied - self.variable):
            raise BackendError(
                f"the renderer rays cannot vary {refused[0]} per world, since it draws neither "
                "textures nor highlights; drop the randomizer that does, or use renderer: gl"
            )
        model = copy.copy(scene.model)
        model.opt.disableflags |= int(_NEEDLESS)
        if {"geom_pos", "geom_quat"} & scene.varied:
            model.geom_sameframe[:] = 0  # or kinematics would not read them
        self.num_worlds, self._model = num_worlds, model
        self._batch = Batch(model, num_worlds, config.threads, persistent=True)
        self._live = {
            name: self._batch.bind(name)
            for name in (
                *("cam_xpos", "cam_xmat", "light_xpos", "light_xdir"),
                *("geom_xpos", "geom_xmat"),
            )
            if model.nlight or not name.startswith("light")
        }
        self._texture = _mean_colours(model)
        self._cameras = {
            name: _Eye(camera, model.camera(name).id, name, model)
            for name, camera in scene.cameras.items()
        }
        self._fields: Named | None = None
        self._varied: dict[str, np.ndarray] = {}

    def render(self, qpos: Array, mocap_pos: Array, fields: Named, due: Named) -> Named:
        """See `r2s_core.types.Renderer.render`; returns NumPy arrays."""
        self._batch.qpos[:] = np.asarray(qpos)
        if self._model.nmocap:
            self._batch.mocap_pos[:] = np.asarray(mocap_pos)
        if fields is not self._fields:
            self._write(fields)
        wanted = {name: np.flatnonzero(np.asarray(due[name])) for name in self._cameras}
        everyone = np.unique(np.concatenate([*wanted.values()])).astype(np.int32)
        if len(everyone):
            self._batch.forward(everyone, stage=_POSITION)
        images: dict[str, Any] = {}
        for name, eye in self._cameras.items():
            drawn = self._draw(eye, wanted[name].astype(np.int32)) if len(wanted[name]) else {}
            for group, spec in eye.camera.groups(name).items():
                images[group] = np.zeros((self.num_worlds, *spec.shape), spec.dtype)
                if drawn:
                    images[group][wanted[name]] = drawn[group]
        return images

    def _write(self, fields: Named) -> None:
        self._fields = fields
        self._varied = {name: np.asarray(values) for name, values in fields.items()}
        for name, values in self._varied.items():
            if name not in LOOK_FIELDS:
                self._batch.expand(name)[:] = values

    def _draw(self, eye: _Eye, ids: np.ndarray) -> dict[str, np.ndarray]:
        """The images of one camera in the worlds `ids` [n], by group."""
        place = self._live["cam_xpos"][ids, eye.index]
        turn = self._live["cam_xmat"][ids, eye.index].reshape(-1, 3, 3)
        fovy = self._values("cam_fovy", ids)[:, eye.index]
        directions = np.matmul(eye.directions(fovy), turn.transpose(0, 2, 1))
        depth, geom, normal = self._batch.ray(
            place[:, None], directions, geomgroup=DRAWN_GROUPS, ids=ids, normal=True
        )
        hits = shading.Hits(_f32(directions), _f32(depth), geom, _f32(normal))  # type: ignore[arg-type]
        inputs = hits, self._paint(ids, place, turn)
        # Of a few sizes only, since shading is compiled for each.
        count, size = len(ids), _bucket(len(ids), self.num_worlds)
        if size > count:
            rows = np.resize(np.arange(count), size)
            inputs = jax.tree.map(lambda x: x if len(x) == 1 else x[rows], inputs)
        drawn = eye.shade(*inputs)
        return {group: np.asarray(values)[:count] for group, values in drawn.items()}

    def _paint(self, ids: np.ndarray, place: np.ndarray, turn: np.ndarray) -> shading.Paint:
        model, matid = self._model, self._values("geom_matid", ids)
        material = np.maximum(matid, 0)

        def of(values: np.ndarray) -> np.ndarray:  # [1 or n, nmat, ...] -> [1 or n, ngeom, ...]
            if len(material) == 1:
                return values[:, material[0]]
            return values[np.arange(len(material))[:, None] if len(values) > 1 else 0, material]

        rgba = self._values("geom_rgba", ids)
        rgb, emission = rgba[..., :3], np.zeros((1, model.ngeom))
        if model.nmat:
            # A colour of its own comes before the material's; the texture is multiplied to both.
            plain = (rgba == _DEFAULT_RGBA).all(-1) & (matid >= 0)
            own = np.where(plain[..., None], of(self._values("mat_rgba", ids))[..., :3], rgb)
            texture = np.where((matid >= 0)[..., None], self._texture[material], 1.0)
            rgb = own * texture
            emission = (matid >= 0) * of(self._values("mat_emission", ids))
        none = np.zeros((len(ids), 0, 3))
        paint: Any = (
            rgb,
            emission,
            self._values("light_diffuse", ids),
            self._values("light_ambient", ids),
            self._live["light_xpos"][ids] if model.nlight else none,
            self._live["light_xdir"][ids] if model.nlight else none,
            place,
            -turn[:, :, 2],
        )
        return dataclasses.replace(
            shading.Paint(*map(_f32, paint)),
            patterns=self._patterns(ids, of, matid),
            background=self._background(ids),
        )

    def _patterns(self, ids: np.ndarray, of: Any, matid: np.ndarray) -> Patterns | None:
        """of: takes values of materials to those of geoms; matid [1 or n, ngeom]."""
        if not PATTERN_FIELDS & self._varied.keys() or not self._model.nmat:
            return None
        own = {
            name.removeprefix("pattern_"): of(self._values(name, ids)) for name in PATTERN_FIELDS
        }
        own["amount"] = np.where(matid >= 0, own["amount"], 0.0)
        rotation = self._live["geom_xmat"][ids].reshape(len(ids), -1, 3, 3)
        return Patterns.of(own, self._live["geom_xpos"][ids], rotation)

    def _background(self, ids: np.ndarray) -> Background | None:
        if not BACKGROUND_FIELDS & self._varied.keys():
            return None
        picture, through = (
            self._values(name, ids) for name in ("background", "background_through")
        )
        return Background(_f32(picture), _f32(through))

    def _values(self, field: str, ids: np.ndarray) -> np.ndarray:
        """A field of the worlds `ids` [n, ...], or [1, ...] where it does not vary."""
        if field in self._varied:
            return self._varied[field][ids]
        if field in LOOK_FIELDS:
            return LOOK_FIELDS[field](self._model)[None]
        return getattr(self._model, field)[None]


class _Eye:
    """One camera: the directions of its rays, and the compiled shading."""

    def __init__(self, camera: Camera, index: int, name: str, model: mujoco.MjModel) -> None:
        self.camera, self.index = camera, index
        height, width = camera.shape
        # From the image's centre to each pixel's, in halves of the height; rows from the top.
        x = (np.arange(width) + 0.5 - width / 2) / (height / 2)
        y = (height / 2 - np.arange(height) - 0.5) / (height / 2)
        self._plane = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
        self.shade = jax.jit(partial(shading.images, shading.Scene.of(model), camera, name))

    def directions(self, fovy: np.ndarray) -> np.ndarray:
        """float64[n, H * W, 3] in the camera's frame; fovy [n], degrees. Of length 1 along the
        viewing direction, so that a ray's length is the depth."""
        slope = np.tan(np.radians(fovy.astype(np.float64)) / 2)
        rays = np.full((len(fovy), len(self._plane), 3), -1.0)
        rays[..., :2] = slope[:, None, None] * self._plane
        return rays


def _bucket(count: int, most: int) -> int:
    """The smallest of most, most / 4, most / 16, ... that holds `count`, rounded up."""
    size = most
    while -(-size // 4) >= count and size > 1:
        size = -(-size // 4)
    return size


def _f32(values: np.ndarray) -> Any:
    return np.asarray(values, np.float32)


def _mean_colours(model: mujoco.MjModel) -> np.ndarray:
    """float32[nmat, 3]: the mean colour of each material's texture, 1 where it has none."""
    colours = np.ones((model.nmat, 3), np.float32)
    role = int(mujoco.mjtTextureRole.mjTEXROLE_RGB)
    for material in range(model.nmat):
        texture = int(model.mat_texid[material][role])
        if texture < 0 or model.tex_nchannel[texture] < 3:
            continue
        channels, first = int(model.tex_nchannel[texture]), int(model.tex_adr[texture])
        size = channels * int(model.tex_width[texture]) * int(model.tex_height[texture])
        texels = np.asarray(model.tex_data[first : first + size]).reshape(-1, channels)
        colours[material] = texels[:, :3].mean(axis=0) / 255.0
    return colours


def make(scene: SeenScene, num_worlds: int, config: RaysConfig) -> Rays:
    """The builder that the manifest names."""
    return Rays(scene, num_worlds, config)
