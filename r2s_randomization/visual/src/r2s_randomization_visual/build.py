"""The builders, named as the plugins are without `visual_`, and what they build.

They vary fields of the MjModel that cameras see, or where there are none of the one that pictures
are rendered from; see `r2s_core.types.Randomizer`, stage "visual".
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core import rotation
from r2s_core.draw import choose, chosen, draw
from r2s_core.errors import ConfigError
from r2s_core.types import Array, Named, RandomizerContext
from r2s_randomization_visual import config
from r2s_randomization_visual.pictures import read_pictures
from r2s_randomization_visual.scenery import Background, Distractors, Patterns

_DONE = 0xD0E  # any number of its own


class Lights:
    """Position, direction, brightness and tint of lights."""

    stage: Literal["visual"] = "visual"

    def __init__(
        self, model: mujoco.MjModel, rows: np.ndarray, options: config.LightsConfig
    ) -> None:
        self._rows, self._options = rows, options
        emitted = {"light_diffuse": model.light_diffuse, "light_ambient": model.light_ambient}
        self._emitted = tuple(name for name, light in emitted.items() if light[rows].any())
        self.writes = frozenset({"light_pos", "light_dir", *self._emitted})

    def __call__(self, key: Array, values: Named) -> Named:
        options, rows = self._options, self._rows
        level = _level(key, values, options.share)
        keys, number = jax.random.split(key, 4), len(rows)
        shift = _within(keys[0], (number, 3), options.shift * level)
        turn = rotation.to_matrix(_turns(keys[1], number, options.tilt * level))
        direction = jnp.einsum("nij,nj->ni", turn, values["light_dir"][rows])
        brightness = draw(keys[2], (number, 1), options.brightness, level=level)
        colour = brightness * (1.0 + _within(keys[3], (number, 3), options.tint * level))
        return {
            "light_pos": values["light_pos"].at[rows].add(shift),
            "light_dir": values["light_dir"].at[rows].set(direction),
            **{name: values[name].at[rows].multiply(colour) for name in self._emitted},
        }


class Colors:
    """Materials' colours mixed with random ones; their transparency is unchanged."""

    stage: Literal["visual"] = "visual"
    writes = frozenset({"mat_rgba"})

    def __init__(self, rows: np.ndarray, options: config.ColorsConfig) -> None:
        self._rows, self._amount, self._share = rows, options.amount, options.share

    def __call__(self, key: Array, values: Named) -> Named:
        rgba, amount = values["mat_rgba"], self._amount * _level(key, values, self._share)
        old = rgba[self._rows, :3]
        new = old + amount * (jax.random.uniform(key, old.shape) - old)
        return {"mat_rgba": rgba.at[self._rows, :3].set(new)}


class Surfaces:
    """Specularity, shininess and reflectance of materials."""

    stage: Literal["visual"] = "visual"

    def __init__(self, rows: np.ndarray, options: config.SurfacesConfig, mirrors: bool) -> None:
        """mirrors: whether what draws them draws reflections, which no camera's renderer does."""
        self._rows, self._options = rows, options
        self._names = ("specular", "shininess", *(("reflectance",) if mirrors else ()))
        self.writes = frozenset(f"mat_{name}" for name in self._names)

    def __call__(self, key: Array, values: Named) -> Named:
        options, new = self._options, {}
        for number, name in enumerate(self._names):
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
        options, rows = self._options, self._rows
        level = _level(key, values, options.share)
        keys, number = jax.random.split(key, 3), len(rows)
        if options.whole:
            shift = options.shift * level * _directions(keys[0], number)
            turns = _about(_directions(keys[1], number), jnp.deg2rad(options.tilt * level))
        else:
            shift = _within(keys[0], (number, 3), options.shift * level)
            turns = _turns(keys[1], number, options.tilt * level)
        wider = draw(keys[2], (number,), options.field_of_view, level=level, neutral=0.0)
        quats = jax.vmap(rotation.multiply)(values["cam_quat"][rows], turns)
        return {
            "cam_pos": values["cam_pos"].at[rows].add(shift),
            "cam_quat": values["cam_quat"].at[rows].set(quats),
            "cam_fovy": values["cam_fovy"]
            .at[rows]
            .set(jnp.clip(values["cam_fovy"][rows] + wider, 1.0, 170.0)),
        }


def _level(key: Array, values: Named, share: float) -> Array:
    """The curriculum's level, and 0 in the episodes in which nothing is done."""
    if share == 1.0:
        return values["level"]
    done = jax.random.uniform(jax.random.fold_in(key, _DONE)) < share
    return values["level"] * done


def lights(options: config.LightsConfig, context: RandomizerContext) -> Lights:
    """Raises ConfigError where the scene has no such lights."""
    model = _drawn(context)
    return Lights(model, choose(model, "light", options.lights, "lights"), options)


def colors(options: config.ColorsConfig, context: RandomizerContext) -> Colors:
    """Raises ConfigError where the scene has no such materials."""
    return Colors(choose(_drawn(context), "material", options.materials, "materials"), options)


def surfaces(options: config.SurfacesConfig, context: RandomizerContext) -> Surfaces:
    """Raises ConfigError where the scene has no such materials."""
    rows = choose(_drawn(context), "material", options.materials, "materials")
    return Surfaces(rows, options, mirrors=not context.cameras)


def textures(options: config.TexturesConfig, context: RandomizerContext) -> Textures:
    """Raises ConfigError where the scene has no textures."""
    model = _drawn(context)
    if not model.ntex:
        raise ConfigError("the scene has no textures; leave it out")
    return Textures(model, options)


def camera(options: config.CameraConfig, context: RandomizerContext) -> Camera:
    """Raises ConfigError where the scene has no such cameras."""
    return Camera(choose(_drawn(context), "camera", options.cameras, "cameras"), options)


def patterns(options: config.PatternsConfig, context: RandomizerContext) -> Patterns:
    """Raises ConfigError where there are no cameras, or no such materials."""
    model = _seen(context)
    return Patterns(choose(model, "material", options.materials, "materials"), options)


def background(options: config.BackgroundConfig, context: RandomizerContext) -> Background:
    """Raises ConfigError where there are no cameras, nothing has a name in `keep`, or the pictures
    cannot be read."""
    model = _seen(context)
    fixed = np.flatnonzero(model.geom_bodyid == 0)
    materials = model.geom_matid[fixed]
    names = [model.geom(i).name for i in fixed]
    names += [model.material(i).name if i >= 0 else "" for i in materials]
    kept = chosen(names, options.keep, "keep", "geom or material of the world") % max(len(fixed), 1)
    pictures = None if options.pictures is None else read_pictures(options.pictures)
    return Background(np.delete(fixed, kept), pictures, options.share)


def distractors(options: config.DistractorsConfig, context: RandomizerContext) -> Distractors:
    """Raises ConfigError where there are no cameras, or no such bodies."""
    model = _seen(context)
    bodies = choose(model, "body", options.bodies, "bodies")
    if options.number[1] > len(bodies):
        raise ConfigError(
            f"number: there are only {len(bodies)} such bodies, not {options.number[1]}"
        )
    return Distractors(model, bodies, options)


def _seen(context: RandomizerContext) -> mujoco.MjModel:
    if not context.cameras:
        raise ConfigError(
            "it varies what cameras see, and there are none; set environment.vision_enabled, or "
            "leave it out"
        )
    return _drawn(context)


def _drawn(context: RandomizerContext) -> mujoco.MjModel:
    if context.drawn_model is None:
        raise ConfigError("the task has no pictures to vary; leave the visual randomizers out")
    return context.drawn_model()


def _within(key: Array, shape: tuple[int, ...], size: Array) -> Array:
    return size * jax.random.uniform(key, shape, minval=-1.0)


def _turns(key: Array, number: int, degrees: Array) -> Array:
    """Quaternions [number, 4] of rotations about random axes by at most `degrees`."""
    axis_key, angle_key = jax.random.split(key)
    angle = jnp.deg2rad(degrees) * jax.random.uniform(angle_key, (number, 1))
    return _about(_directions(axis_key, number), angle)


def _about(axes: Array, angle: Array) -> Array:
    return jax.vmap(rotation.from_vector)(axes * angle)


def _directions(key: Array, number: int) -> Array:
    """Unit vectors [number, 3]."""
    axes = jax.random.normal(key, (number, 3))
    return axes / (jnp.linalg.norm(axes, axis=1, keepdims=True) + 1e-9)
