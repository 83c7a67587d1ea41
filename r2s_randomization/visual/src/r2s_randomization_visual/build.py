"""The builders, named as the plugins are without `visual_`, and what they build.

They vary fields of the MjModel that pictures are rendered from; see `r2s_core.types.Randomizer`,
stage "visual".
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core import rotation
from r2s_core.draw import choose, draw
from r2s_core.errors import ConfigError
from r2s_core.types import Array, Named, RandomizerContext
from r2s_randomization_visual import config


class Lights:
    """Position, direction, brightness and tint of lights."""

    stage: Literal["visual"] = "visual"
    writes = frozenset({"light_pos", "light_dir", "light_diffuse"})

    def __init__(self, rows: np.ndarray, options: config.LightsConfig) -> None:
        self._rows, self._options = rows, options

    def __call__(self, key: Array, values: Named) -> Named:
        options, rows, level = self._options, self._rows, values["level"]
        keys, number = jax.random.split(key, 4), len(rows)
        shift = _within(keys[0], (number, 3), options.shift * level)
        turn = rotation.to_matrix(_turns(keys[1], number, options.tilt * level))
        direction = jnp.einsum("nij,nj->ni", turn, values["light_dir"][rows])
        brightness = draw(keys[2], (number, 1), options.brightness, level=level)
        colour = brightness * (1.0 + _within(keys[3], (number, 3), options.tint * level))
        return {
            "light_pos": values["light_pos"].at[rows].add(shift),
            "light_dir": values["light_dir"].at[rows].set(direction),
            "light_diffuse": values["light_diffuse"].at[rows].multiply(colour),
        }


class Colors:
    """Materials' colours mixed with random ones; their transparency is unchanged."""

    stage: Literal["visual"] = "visual"
    writes = frozenset({"mat_rgba"})

    def __init__(self, rows: np.ndarray, options: config.ColorsConfig) -> None:
        self._rows, self._amount = rows, options.amount

    def __call__(self, key: Array, values: Named) -> Named:
        rgba, amount = values["mat_rgba"], self._amount * values["level"]
        old = rgba[self._rows, :3]
        new = old + amount * (jax.random.uniform(key, old.shape) - old)
        return {"mat_rgba": rgba.at[self._rows, :3].set(new)}


class Surfaces:
    """Specularity, shininess and reflectance of materials."""

    stage: Literal["visual"] = "visual"
    writes = frozenset({"mat_specular", "mat_shininess", "mat_reflectance"})

    def __init__(self, rows: np.ndarray, options: config.SurfacesConfig) -> None:
        self._rows, self._options = rows, options

    def __call__(self, key: Array, values: Named) -> Named:
        options, new = self._options, {}
        for number, name in enumerate(("specular", "shininess", "reflectance")):
            field = values[f"mat_{name}"]
            old = field[self._rows]
            drawn = draw(jax.random.fold_in(key, number), old.shape, getattr(options, name))
            mixed = old + values["level"] * (drawn - old)
            new[f"mat_{name}"] = field.at[self._rows].set(mixed)
        return new


class Textures:
    """Tint, one per texture, and grain of textures."""

    stage: Literal["visual"] = "visual"
    writes = frozenset({"tex_data"})

    def __init__(self, model: mujoco.MjModel, options: config.TexturesConfig) -> None:
        self._options = options
        self._texture = np.zeros(len(model.tex_data), np.int32)
        self._channel = np.zeros(len(model.tex_data), np.int32)
        for number in range(model.ntex):
            first, channels = model.tex_adr[number], model.tex_nchannel[number]
            size = channels * model.tex_width[number] * model.tex_height[number]
            self._texture[first : first + size] = number
            self._channel[first : first + size] = np.arange(size) % channels
        self._number = model.ntex

    def __call__(self, key: Array, values: Named) -> Named:
        tint_key, grain_key = jax.random.split(key)
        level, texels = values["level"], values["tex_data"]
        tint = 1.0 + _within(tint_key, (self._number, 4), self._options.tint * level)
        tint = tint.at[:, 3].set(1.0)  # as opaque as before
        grain = jax.random.normal(grain_key, texels.shape) * (self._channel < 3)
        new = texels * tint[self._texture, self._channel]
        new += 255.0 * self._options.grain * level * grain
        return {"tex_data": jnp.clip(jnp.round(new), 0.0, 255.0)}


class Camera:
    """Position, orientation and field of view of cameras."""

    stage: Literal["visual"] = "visual"
    writes = frozenset({"cam_pos", "cam_quat", "cam_fovy"})

    def __init__(self, rows: np.ndarray, options: config.CameraConfig) -> None:
        self._rows, self._options = rows, options

    def __call__(self, key: Array, values: Named) -> Named:
        options, rows, level = self._options, self._rows, values["level"]
        keys, number = jax.random.split(key, 3), len(rows)
        shift = _within(keys[0], (number, 3), options.shift * level)
        wider = draw(keys[2], (number,), options.field_of_view, level=level, neutral=0.0)
        turns = _turns(keys[1], number, options.tilt * level)
        quats = jax.vmap(rotation.multiply)(values["cam_quat"][rows], turns)
        return {
            "cam_pos": values["cam_pos"].at[rows].add(shift),
            "cam_quat": values["cam_quat"].at[rows].set(quats),
            "cam_fovy": values["cam_fovy"].at[rows].add(wider),
        }


def lights(options: config.LightsConfig, context: RandomizerContext) -> Lights:
    """Raises ConfigError where the scene has no such lights."""
    return Lights(choose(_drawn(context), "light", options.lights, "lights"), options)


def colors(options: config.ColorsConfig, context: RandomizerContext) -> Colors:
    """Raises ConfigError where the scene has no such materials."""
    return Colors(choose(_drawn(context), "material", options.materials, "materials"), options)


def surfaces(options: config.SurfacesConfig, context: RandomizerContext) -> Surfaces:
    """Raises ConfigError where the scene has no such materials."""
    return Surfaces(choose(_drawn(context), "material", options.materials, "materials"), options)


def textures(options: config.TexturesConfig, context: RandomizerContext) -> Textures:
    """Raises ConfigError where the scene has no textures."""
    model = _drawn(context)
    if not model.ntex:
        raise ConfigError("visual_textures: the scene has no textures; leave it out")
    return Textures(model, options)


def camera(options: config.CameraConfig, context: RandomizerContext) -> Camera:
    """Raises ConfigError where the scene has no such cameras."""
    return Camera(choose(_drawn(context), "camera", options.cameras, "cameras"), options)


def _drawn(context: RandomizerContext) -> mujoco.MjModel:
    if context.drawn_model is None:
        raise ConfigError("the task has no pictures to vary; leave the visual randomizers out")
    return context.drawn_model()


def _within(key: Array, shape: tuple[int, ...], size: Array) -> Array:
    return size * jax.random.uniform(key, shape, minval=-1.0)


def _turns(key: Array, number: int, degrees: Array) -> Array:
    """Quaternions [number, 4] of rotations about random axes by at most `degrees`."""
    axis_key, angle_key = jax.random.split(key)
    axis = jax.random.normal(axis_key, (number, 3))
    axis /= jnp.linalg.norm(axis, axis=1, keepdims=True) + 1e-9
    angle = jnp.deg2rad(degrees) * jax.random.uniform(angle_key, (number, 1))
    return jax.vmap(rotation.from_vector)(axis * angle)
