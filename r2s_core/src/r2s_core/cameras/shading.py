"""The colours of what rays hit: MuJoCo's lighting without highlights, shadows and textures."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core.camera import Camera
from r2s_core.cameras.patterns import Background, Patterns, behind, dot, of_row, patterned
from r2s_core.types import Array, pytree


@pytree
class Hits:
    """What N rays of n worlds hit."""

    direction: Array  # float32[n, N, 3], not of unit length: 1 along the viewing direction
    depth: Array  # float32[n, N], m along the viewing direction; below 0: nothing
    geom: Array  # int32[n, N]; -1: nothing
    normal: Array  # float32[n, N, 3]


@pytree
class Paint:
    """Colours and lights; the leading dimension is n, or 1 where all worlds share them."""

    rgb: Array  # float32[n, ngeom, 3]
    emission: Array  # float32[n, ngeom]
    diffuse: Array  # float32[n, nlight, 3]
    ambient: Array  # float32[n, nlight, 3]
    light_pos: Array  # float32[n, nlight, 3], m
    light_dir: Array  # float32[n, nlight, 3]
    camera_pos: Array  # float32[n, 3], m
    camera_dir: Array  # float32[n, 3]
    patterns: Patterns | None = None
    background: Background | None = None  # None: it is black


@dataclasses.dataclass(frozen=True)
class Scene:
    """What is the same in all worlds."""

    active: np.ndarray  # bool[nlight]
    directional: np.ndarray  # bool[nlight]
    spot: np.ndarray  # bool[nlight]
    cutoff: np.ndarray  # float32[nlight], rad
    exponent: np.ndarray  # float32[nlight]
    attenuation: np.ndarray  # float32[nlight, 3]
    headlight: tuple[np.ndarray, np.ndarray]  # ambient and diffuse, float32[3] each
    body: np.ndarray  # int32[ngeom]

    @staticmethod
    def of(model: mujoco.MjModel) -> Scene:
        kinds, head = model.light_type, model.vis.headlight
        lit = float(bool(head.active))
        return Scene(
            active=np.array(model.light_active, bool),
            directional=kinds == mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            spot=kinds == mujoco.mjtLightType.mjLIGHT_SPOT,
            cutoff=np.radians(model.light_cutoff).astype(np.float32),
            exponent=np.array(model.light_exponent, np.float32),
            attenuation=np.array(model.light_attenuation, np.float32),
            headlight=(
                lit * np.array(head.ambient, np.float32),
                lit * np.array(head.diffuse, np.float32),
            ),
            body=np.array(model.geom_bodyid, np.int32),
        )


def images(scene: Scene, camera: Camera, name: str, hits: Hits, paint: Paint) -> dict[str, Any]:
    """The camera's observation groups for n worlds, each [n, H, W, C]."""
    made: dict[str, Array] = {}
    if "rgb" in camera.channels:
        levels = jnp.round(255.0 * jnp.clip(_lit(scene, hits, paint), 0.0, 1.0))
        made[name] = levels.astype(jnp.uint8)
    if "depth" in camera.channels:
        near, far = camera.depth_range
        seen = (hits.geom >= 0) & (hits.depth >= near) & (hits.depth <= far)
        millimetres = jnp.where(seen, jnp.round(1000.0 * hits.depth), 0.0)
        made[f"{name}_depth"] = millimetres.astype(jnp.uint16)[..., None]
    if "segmentation" in camera.channels:
        body = jnp.asarray(scene.body)[jnp.maximum(hits.geom, 0)] + 1
        made[f"{name}_segmentation"] = jnp.where(hits.geom >= 0, body, 0).astype(jnp.uint8)[
            ..., None
        ]
    return {
        group: values.reshape(-1, *camera.shape, values.shape[-1]) for group, values in made.items()
    }


def _lit(scene: Scene, hits: Hits, paint: Paint) -> Array:
    """float32[n, N, 3]: the colour of each ray, the background's where it hits nothing."""
    direction = hits.direction
    towards = dot(hits.normal, direction)[..., None]
    normal = jnp.where(towards > 0.0, -hits.normal, hits.normal)  # the side that is seen
    place = paint.camera_pos[:, None] + hits.depth[..., None] * direction

    ambient, diffuse = scene.headlight
    facing = jnp.maximum(-dot(normal, paint.camera_dir[:, None]), 0.0)
    light = ambient + facing[..., None] * diffuse
    for i in np.flatnonzero(scene.active):
        share = _share(scene, int(i), paint, place, normal)
        light += paint.ambient[:, None, i] + share[..., None] * paint.diffuse[:, None, i]

    geom = jnp.maximum(hits.geom, 0)
    rgb = of_row(paint.rgb, geom)
    if paint.patterns is not None:
        rgb = patterned(rgb, paint.patterns, geom, place)
    glow = of_row(paint.emission[..., None], geom)
    colour = jnp.where((hits.geom >= 0)[..., None], rgb * (light + glow), 0.0)
    if paint.background is None:
        return colour
    through = of_row(paint.background.through[..., None], geom)
    through = jnp.where((hits.geom >= 0)[..., None], through, 1.0)
    return colour + through * (behind(paint.background, direction) - colour)


def _share(scene: Scene, i: int, paint: Paint, place: Array, normal: Array) -> Array:
    """float32[n, N]: how much of light `i` a surface gets."""
    axis = paint.light_dir[:, None, i]
    if scene.directional[i]:
        return jnp.maximum(-dot(normal, axis), 0.0)
    away = place - paint.light_pos[:, None, i]
    distance = jnp.sqrt(dot(away, away)) + 1e-9
    beam = away / distance[..., None]
    share = jnp.maximum(-dot(normal, beam), 0.0)
    constant, linear, square = scene.attenuation[i]
    share /= constant + linear * distance + square * distance * distance
    if scene.spot[i]:
        cosine = dot(beam, axis)
        inside = cosine >= np.cos(scene.cutoff[i])
        share *= jnp.where(inside, jnp.maximum(cosine, 0.0) ** scene.exponent[i], 0.0)
    return share
