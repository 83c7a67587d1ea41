"""A worker process of the renderer `gl`: draws its share of the worlds into shared memory.

`python -m r2s_core.cameras.gl_worker` reads one JSON line from its standard input, which says what
to draw and where the shared arrays are, and then the numbers of draws, 8 bytes each. It repeats a
number on its standard output when that draw is finished, and ends when its input does.

On Mesa's software rasterizer a picture of up to 64 x 64 pixels costs what its triangles cost (some
30 ns each; a sphere of 28 x 16 facets 0.03 ms, a plane of 80 x 80 squares 0.07 ms), and hardly
anything for its pixels, for reading them back or for `mjv_updateScene`. So round shapes have fewer
facets where pictures are small, planes are drawn whole where no light is near, and geoms outside of
the picture are left out. Drawing many worlds as tiles of one buffer, to read that once, was a
quarter slower than one after another.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

import mujoco
import numpy as np

from r2s_core.camera import DRAWN_GROUPS
from r2s_core.cameras.shared_arrays import SharedArrays, from_json

NUMBER_BYTES = 8
_NEAR = 0.001  # m, of the clipping plane; the other renderers have none
_FAR = 100.0  # m
#: Facets of round shapes (slices, stacks) for pictures of up to so many pixels, where there are
#: balls and otherwise. The outline of a circle is off by 2 to 5 % of its radius, a capsule's end by
#: 8 at most, which is less than a pixel.
_FACETS = {32: ((12, 8), (10, 4)), 64: ((16, 10), (16, 6))}
_BALLS = (mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_ELLIPSOID)
_HIDDEN = 5  # a group that is not drawn
_OFF = ("SHADOW", "REFLECTION", "SKYBOX", "FOG", "HAZE")
_SIZES = {"geom_size", "geom_type", "geom_dataid"}  # what a geom's bounding sphere follows from
_BOUNDS = {"geom_rbound", "cam_fovy"}
_SHOWN = {"geom_rgba", "geom_group"}
_KINDS = {"light_type", "light_active"}
_COPIED = {"mat_texid", "mat_texrepeat", "mat_texuniform"}
_DRAWN = mujoco.mjtCatBit.mjCAT_STATIC | mujoco.mjtCatBit.mjCAT_DYNAMIC
_FONT = 50  # the smallest; nothing is written


def lean(model: mujoco.MjModel, sizes: list[tuple[int, int]], varied: set[str]) -> None:
    """Change a model so that `gl` draws it fast and clips it as the other renderers do.

    sizes: (width, height) of the pictures. varied: the fields that differ between worlds.
    """
    width, height = (max(side) for side in zip(*sizes, strict=True))
    quality, buffer, map_ = model.vis.quality, model.vis.global_, model.vis.map
    buffer.offwidth, buffer.offheight = width, height
    quality.offsamples, quality.shadowsize = 0, 0
    near = model.light_active & (model.light_type != mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
    # Light is computed at corners; that from afar is the same on all of a flat or straight side.
    lit_evenly = not near.any() and not _KINDS & varied
    if lit_evenly:
        quality.numquads = 1
        model.geom_size[model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE, 2] = _FAR
    balls = np.isin(model.geom_type, _BALLS) | ("geom_type" in varied)
    if not _SHOWN & varied:
        balls &= (model.geom_rgba[:, 3] > 0) & (DRAWN_GROUPS[model.geom_group] > 0)
    for side, facets in sorted(_FACETS.items(), reverse=True):
        if max(width, height) <= side:
            slices, stacks = facets[lit_evenly and not balls.any()]
            quality.numslices = min(quality.numslices, slices)
            quality.numstacks = min(quality.numstacks, stacks)
    extent = float(model.stat.extent)
    map_.znear = _NEAR / extent
    map_.zfar = max(_FAR / extent, map_.zfar)


class Painter:
    """Draws the worlds of shared arrays.

    cameras: for each, its `id` in the model, `size`, `depth_range`, and the `groups` of its images
    by channel.
    """

    def __init__(
        self, model: mujoco.MjModel, arrays: Mapping[str, np.ndarray], cameras: list[dict[str, Any]]
    ) -> None:
        self._fields = {
            name.removeprefix("field/"): array
            for name, array in arrays.items()
            if name.startswith("field/")
        }
        lean(model, [tuple(each["size"]) for each in cameras], set(self._fields))
        self._model, self._data, self._arrays = model, mujoco.MjData(model), arrays
        self._points = model.light_type == mujoco.mjtLightType.mjLIGHT_POINT
        self._widen_points()
        buffer = model.vis.global_
        self._gl = mujoco.GLContext(buffer.offwidth, buffer.offheight)
        self._gl.make_current()
        self._context = mujoco.MjrContext(model, _FONT)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._context.readDepthMap = int(mujoco.mjtDepthMap.mjDEPTH_ZEROFAR)
        self._scene, self._option = _scene(model), _option()
        if {"geom_pos", "geom_quat"} & set(self._fields):
            model.geom_sameframe[:] = 0  # or kinematics would not read them
        modes = (*model.cam_mode, *model.light_mode)
        self._needs_mass_centres = any(modes)
        solid = model.geom_rgba[:, 3].min(initial=1) == 1 == model.mat_rgba[:, 3].min(initial=1)
        self._solid = bool(solid) and not {"geom_rgba", "mat_rgba"} & set(self._fields)
        self._hides = "geom_rbound" in self._fields or not _SIZES & set(self._fields)
        self._groups = model.geom_group.copy()
        self._shots = [_Shot(model, arrays, camera) for camera in cameras]
        self._pyramids = _Pyramids(model, self._data, cameras)
        self._in_model = (-1, -1)  # the world whose fields the model has, and their number

    def draw(self, share: int, shares: int) -> None:
        """Draw every `shares`-th of the worlds of which an image is due, from number `share`."""
        due = self._arrays["due"]
        for world in np.flatnonzero(due.any(axis=0))[share::shares]:
            self._pose(int(world))
            outside = self._pyramids.outside() if self._hides else None
            for index in np.flatnonzero(due[:, world]):
                if outside is not None:
                    self._model.geom_group[:] = np.where(outside[index], _HIDDEN, self._groups)
                self._draw(self._shots[index], int(world))

    def close(self) -> None:
        """Release the graphics contexts."""
        self._context.free()
        self._gl.free()

    def _pose(self, world: int) -> None:
        model, data = self._model, self._data
        key = (world, int(self._arrays["fields_number"][0]))
        if self._fields and key != self._in_model:
            for name, values in self._fields.items():
                getattr(model, name)[...] = values[world]
            if "light_type" in self._fields:
                self._points = model.light_type == mujoco.mjtLightType.mjLIGHT_POINT
            self._widen_points()
            self._update_context()
            if "geom_group" in self._fields:
                self._groups = model.geom_group.copy()
            if _BOUNDS & self._fields.keys():
                self._pyramids.measure()
            self._in_model = key
        data.qpos[:] = self._arrays["qpos"][world]
        data.mocap_pos[:] = self._arrays["mocap_pos"][world]
        mujoco.mj_kinematics(model, data)
        if self._needs_mass_centres:
            mujoco.mj_comPos(model, data)
        mujoco.mj_camlight(model, data)

    def _widen_points(self) -> None:
        """Make lights that shine in all directions, which MuJoCo's OpenGL renderer leaves out,
        spots as wide as that."""
        self._model.light_type[self._points] = mujoco.mjtLightType.mjLIGHT_SPOT
        self._model.light_cutoff[self._points] = 180.0
        self._model.light_exponent[self._points] = 0.0

    def _update_context(self) -> None:
        """What the graphics context has its own copy of."""
        for name in _COPIED & set(self._fields):
            values = getattr(self._model, name).ravel()
            getattr(self._context, name)[: len(values)] = values
        if "tex_data" in self._fields:
            for texture in range(self._model.ntex):
                mujoco.mjr_uploadTexture(self._model, self._context, texture)

    def _draw(self, shot: _Shot, world: int) -> None:
        mujoco.mjv_updateScene(
            self._model, self._data, self._option, None, shot.view, int(_DRAWN), self._scene
        )
        if shot.rgb is not None:
            depth = shot.depth_buffer if self._solid and shot.segmentation is None else None
            self._read(shot, shot.colours, depth, by_number=False)
            shot.rgb[world] = shot.colours[::-1]
            if depth is not None:  # of the same pass
                shot.write_depth(world)
                return
        if shot.depth is None and shot.segmentation is None:
            return
        # Each geom in the colour of its number: translucent ones too hide what is behind.
        numbers = None if shot.segmentation is None else shot.colours
        self._read(shot, numbers, shot.depth_buffer, by_number=True)
        if shot.depth is not None:
            shot.write_depth(world)
        if shot.segmentation is not None:
            shot.segmentation[world, ..., 0] = self._bodies(shot.colours)[::-1]

    def _read(self, shot: _Shot, colours: Any, depth: Any, by_number: bool) -> None:
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = by_number
        self._scene.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = by_number
        mujoco.mjr_render(shot.rectangle, self._scene, self._context)
        mujoco.mjr_readPixels(colours, depth, shot.rectangle, self._context)

    def _bodies(self, colours: np.ndarray) -> np.ndarray:
        """uint8[H, W]: the seen body's number plus one."""
        bodies = np.zeros(self._scene.maxgeom + 1, np.uint8)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            bodies[geom.segid + 1] = self._model.geom_bodyid[geom.objid] + 1
        return bodies[colours @ np.array([1, 1 << 8, 1 << 16])]


class _Pyramids:
    """What cameras see, each a pyramid of four sides; a geom is outside of it where its bounding
    sphere lies beyond one of them."""

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, cameras: list[dict[str, Any]]
    ) -> None:
        self._model, self._data = model, data
        self._ids = [camera["id"] for camera in cameras]
        self._aspect = np.array([camera["size"][0] / camera["size"][1] for camera in cameras])
        self.measure()

    def measure(self) -> None:
        """Take fields of view and sizes from the model."""
        up = np.tan(np.radians(self._model.cam_fovy[self._ids]) / 2)
        side, none = up * self._aspect, np.zeros(len(up))
        # The sides' outward normals in the camera's frame, which looks along -z: [cameras, 3, 4].
        normals = np.array(
            [
                [none + 1, none - 1, none, none],
                [none, none, none + 1, none - 1],
                [side, side, up, up],
            ]
        ).transpose(2, 0, 1)
        self._normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
        bound = self._model.geom_rbound
        self._bound = np.where(bound > 0, bound, np.inf)[:, None]  # planes are endless

    def outside(self) -> np.ndarray:
        """bool[cameras, ngeom], in the data's posture."""
        turn = self._data.cam_xmat[self._ids].reshape(-1, 3, 3)
        normals = turn @ self._normals
        apex = self._data.cam_xpos[self._ids][:, None] @ normals
        return (self._data.geom_xpos @ normals - apex > self._bound).any(axis=-1)


class _Shot:
    """A camera with its images in shared memory, and buffers for one of them."""

    def __init__(
        self, model: mujoco.MjModel, arrays: Mapping[str, np.ndarray], camera: dict[str, Any]
    ) -> None:
        width, height = camera["size"]
        self.view = mujoco.MjvCamera()
        self.view.type = int(mujoco.mjtCamera.mjCAMERA_FIXED)
        self.view.fixedcamid = camera["id"]
        self.rectangle = mujoco.MjrRect(0, 0, width, height)
        groups = camera["groups"]
        self.rgb, self.depth, self.segmentation = (
            arrays[f"image/{groups[channel]}"] if channel in groups else None
            for channel in ("rgb", "depth", "segmentation")
        )
        self.colours = np.zeros((height, width, 3), np.uint8)
        self.depth_buffer = np.zeros((height, width), np.float32) if "depth" in groups else None
        self._nearest, self._farthest = camera["depth_range"]
        extent = model.stat.extent
        near, far = model.vis.map.znear * extent, model.vis.map.zfar * extent
        # The buffer has d / z - c, 0 where nothing is seen; MuJoCo's own Renderer inverts it so.
        self._c, self._d = near / (far - near), near * far / (far - near)

    def write_depth(self, world: int) -> None:
        """Millimetres from the depth buffer."""
        assert self.depth is not None
        assert self.depth_buffer is not None
        buffer = self.depth_buffer[::-1].astype(np.float64)
        metres = self._d / (buffer + self._c)
        seen = (buffer > 0) & (metres >= self._nearest) & (metres <= self._farthest)
        self.depth[world, ..., 0] = np.where(seen, np.rint(1000.0 * metres), 0)


def _scene(model: mujoco.MjModel) -> mujoco.MjvScene:
    scene = mujoco.MjvScene(model, model.ngeom + 1)
    for name in _OFF:
        scene.flags[getattr(mujoco.mjtRndFlag, f"mjRND_{name}")] = 0
    return scene


def _option() -> mujoco.MjvOption:
    """The geoms of groups 0 to 2 with their textures, and nothing else."""
    option = mujoco.MjvOption()
    option.flags[:] = 0
    option.flags[mujoco.mjtVisFlag.mjVIS_TEXTURE] = 1
    option.flags[mujoco.mjtVisFlag.mjVIS_STATIC] = 1
    option.geomgroup[:] = DRAWN_GROUPS
    for others in ("sitegroup", "jointgroup", "tendongroup", "actuatorgroup"):
        getattr(option, others)[:] = 0
    return option


def _work(requests: BinaryIO, answers: BinaryIO) -> None:
    job = json.loads(requests.readline())
    arrays = SharedArrays(from_json(job["layout"]), job["descriptor"])
    model = mujoco.MjModel.from_binary_path("m", {"m": arrays["model"].tobytes()})
    painter = Painter(model, arrays, job["cameras"])
    answers.write((0).to_bytes(NUMBER_BYTES, "little"))
    while len(number := requests.read(NUMBER_BYTES)) == NUMBER_BYTES:
        painter.draw(job["share"], job["shares"])
        answers.write(number)
    painter.close()


if __name__ == "__main__":
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0) as own:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # output of drivers is not an answer
        _work(sys.stdin.buffer, own)
