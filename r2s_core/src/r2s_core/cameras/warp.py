"""The renderer `warp`: MuJoCo Warp's ray tracer, traced by JAX, for NVIDIA GPUs.

It draws textures and highlights. It also runs on a CPU, slowly. Kinematics are MuJoCo Warp's, of
the model that cameras see; where cameras and lights are follows from them here, since MJX does not
offer Warp's `camlight` alone.

Its buffers belong to a context, so two drawings that share one could mix. Each place in traced code
where `render` is called gets its own, and within it the bounding volumes are fitted before the rays
are cast, since the second depends on the data that the first returns.
"""

from __future__ import annotations

import copy
import weakref
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco import mjx

from r2s_core import rotation
from r2s_core.backends.nvidia_warp import require_warp
from r2s_core.camera import Camera
from r2s_core.cameras.plugins import WarpRendererConfig
from r2s_core.errors import BackendError
from r2s_core.types import Array, Named, SeenScene

_NEAR, _FAR = 0.001, 100.0  # m, as in `gl`
#: The fields that may differ between worlds. MJX shares geom_type, geom_group and geom_dataid
#: between worlds, and its context is compiled for the kinds of lights and their attenuation.
VARIABLE = frozenset(
    {
        *("body_pos", "body_quat", "jnt_pos", "jnt_axis", "cam_pos", "cam_quat", "cam_fovy"),
        *("geom_pos", "geom_quat", "geom_size", "geom_rgba", "geom_matid"),
        *("mat_rgba", "mat_emission", "mat_specular", "mat_shininess", "mat_texid"),
        *("light_active", "light_pos", "light_dir", "light_ambient", "light_diffuse"),
        *("light_specular", "light_cutoff", "light_exponent"),
    }
)


class WarpRenderer:
    """See `r2s_core.types.Renderer`."""

    name = "warp"
    traceable = True
    variable = VARIABLE

    def __init__(self, scene: SeenScene, num_worlds: int) -> None:
        """Raises `BackendError` where it does not run on this scene."""
        model = _seen(scene)
        self.num_worlds, self._host, self._cameras = num_worlds, model, dict(scene.cameras)
        try:
            self._model = mjx.put_model(model, impl="warp")
        except (NotImplementedError, ValueError, RuntimeError, AttributeError) as error:
            raise BackendError(
                f"the renderer warp cannot draw this scene: {str(error).splitlines()[0]}; use "
                "renderer: rays"
            ) from error
        self._contexts: list[Any] = []  # one for each place where `render` is traced
        weakref.finalize(self, _release, self._contexts).atexit = False

    def render(self, qpos: Array, mocap_pos: Array, fields: Named, due: Named) -> Named:
        """See `r2s_core.types.Renderer.render`. Draws all worlds where any is due."""
        context = self._new_context()

        def draw(states: Any) -> Named:
            rgb, depth, body = jax.vmap(lambda *state: self._one(context, *state))(*states)
            return self._groups(context, rgb, depth, body)

        def nothing(states: Any) -> Named:
            return {
                group: jnp.zeros((self.num_worlds, *spec.shape), spec.dtype)
                for name, camera in self._cameras.items()
                for group, spec in camera.groups(name).items()
            }

        states = jnp.asarray(qpos), jnp.asarray(mocap_pos), self._typed(fields)
        anyone = jnp.any(jnp.stack([jnp.any(jnp.asarray(due[name])) for name in self._cameras]))
        return jax.lax.cond(anyone, draw, nothing, states)

    def _one(
        self, context: Any, qpos: Array, mocap_pos: Array, fields: Named
    ) -> tuple[Array, Array, Array]:
        """Of one world: packed colours, depth in m and body numbers of all cameras' pixels."""
        model = self._model.tree_replace(dict(fields)) if fields else self._model
        data = mjx.make_data(self._host, impl="warp", naconmax=self.num_worlds, njmax=1)
        data = data.replace(qpos=qpos.astype(jnp.float32))
        if self._host.nmocap:
            data = data.replace(mocap_pos=mocap_pos.astype(jnp.float32))
        data = self._placed(model, mjx.kinematics(model, data))
        handle = context.pytree()
        data = mjx.refit_bvh(model, data, handle)
        if any("segmentation" in camera.channels for camera in self._cameras.values()):
            rgb, depth, seen, _ = mjx.render_with_segmentation(model, data, handle)
            geom = seen[..., 0]
        else:
            rgb, depth, _ = mjx.render(model, data, handle)
            geom = jnp.zeros(0, jnp.int32)
        body = jnp.asarray(self._host.geom_bodyid)[jnp.maximum(geom, 0)] + 1
        return rgb, depth, jnp.where(geom >= 0, body, 0).astype(jnp.uint8)

    def _placed(self, model: Any, data: Any) -> Any:
        """The data with its cameras and lights where their bodies carry them."""
        host = self._host

        def turned(bodies: np.ndarray, vectors: Array) -> Array:
            return jnp.einsum("nij,nj->ni", data.xmat[bodies], vectors)

        eyes, lights = host.cam_bodyid, host.light_bodyid
        turn = data.xmat[eyes] @ rotation.to_matrix(model.cam_quat)
        data = data.replace(cam_xpos=data.xpos[eyes] + turned(eyes, model.cam_pos), cam_xmat=turn)
        if not host.nlight:
            return data
        towards = turned(lights, model.light_dir)
        return data.tree_replace(
            {
                "_impl.light_xpos": data.xpos[lights] + turned(lights, model.light_pos),
                "_impl.light_xdir": towards / jnp.linalg.norm(towards, axis=-1, keepdims=True),
            }
        )

    def _groups(self, context: Any, rgb: Array, depth: Array, body: Array) -> Named:
        """The observation groups, cut out of the pixels of all cameras, [W, ...] each."""
        images: dict[str, Array] = {}
        starts = {
            channel: getattr(context, f"{channel}_adr").numpy()
            for channel in ("rgb", "depth", "seg")
        }
        for index, (name, camera) in enumerate(self._cameras.items()):

            def own(channel: str, values: Array, i: int = index, seen: Camera = camera) -> Array:
                first, (height, width) = int(starts[channel][i]), seen.shape
                pixels = values[:, first : first + height * width]
                return pixels.reshape(self.num_worlds, height, width)

            if "rgb" in camera.channels:
                packed = own("rgb", rgb)
                parts = [(packed >> shift) & 0xFF for shift in (16, 8, 0)]
                images[name] = jnp.stack(parts, -1).astype(jnp.uint8)
            if "depth" in camera.channels:
                images[f"{name}_depth"] = _millimetres(own("depth", depth), camera)
            if "segmentation" in camera.channels:
                images[f"{name}_segmentation"] = own("seg", body)[..., None]
        return images

    def _typed(self, fields: Named) -> dict[str, Array]:
        """Fields with the types that MJX's model has."""
        return {
            name: jnp.asarray(values).astype(getattr(self._model, name).dtype)
            for name, values in fields.items()
        }

    def _new_context(self) -> Any:
        cameras = self._cameras.values()
        context = mjx.create_render_context(
            self._host,
            self.num_worlds,
            devices=["cpu"] if jax.default_backend() == "cpu" else None,
            cam_active=[*self._cameras],
            cam_res=[camera.size for camera in cameras],
            render_rgb=["rgb" in camera.channels for camera in cameras],
            render_depth=["depth" in camera.channels for camera in cameras],
            render_seg=["segmentation" in camera.channels for camera in cameras],
            use_textures=bool(self._host.ntex),
            use_shadows=False,
            enabled_geom_groups=[0, 1, 2],
            use_precomputed_rays=False,  # so that cam_fovy may vary
        )
        self._contexts.append(context)
        return context


def _release(contexts: list[Any]) -> None:
    """Drop the contexts, which compiled code finds by number, once what was started is done."""
    jax.effects_barrier()
    contexts.clear()


def _millimetres(depth: Array, camera: Camera) -> Array:
    near, far = camera.depth_range
    seen = (depth >= near) & (depth <= far)
    return jnp.where(seen, jnp.round(1000.0 * depth), 0.0).astype(jnp.uint16)[..., None]


def _seen(scene: SeenScene) -> mujoco.MjModel:
    """The scene's model, clipped as the other renderers do; raises where it cannot be drawn."""
    if refused := sorted(scene.varied - VARIABLE):
        raise BackendError(
            f"the renderer warp cannot vary {refused[0]} per world; drop the randomizer, or use "
            "renderer: gl"
        )
    model = copy.copy(scene.model)
    if np.any(model.cam_mode) or np.any(model.light_mode):
        raise BackendError(
            "the renderer warp draws cameras and lights that are fixed to their bodies, and one of "
            "the scene's tracks something; use renderer: gl"
        )
    model.vis.map.znear = _NEAR / model.stat.extent
    model.vis.map.zfar = max(_FAR / model.stat.extent, model.vis.map.zfar)
    return model


def make(scene: SeenScene, num_worlds: int, config: WarpRendererConfig) -> WarpRenderer:
    """Raises `BackendError` where Warp is missing, or does not run on this device or scene."""
    require_warp("renderer warp", without="renderer: rays", elsewhere="renderer: rays")
    return WarpRenderer(scene, num_worlds)
