"""What only cameras see: patterns, backgrounds and distractors; see `r2s_core.look_fields`."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core import rotation
from r2s_core.draw import draw
from r2s_core.look_fields import BACKGROUND_FIELDS, BACKGROUND_SIDE, PATTERN_FIELDS
from r2s_core.types import Array, Named
from r2s_randomization_visual import config

_OCTAVES = (2, 4, 8, 16)  # cells of the noise along a side


class Patterns:
    """Noise or a checkerboard of a random colour on materials."""

    stage: Literal["visual"] = "visual"
    writes = PATTERN_FIELDS

    def __init__(self, rows: np.ndarray, options: config.PatternsConfig) -> None:
        self._rows, self._options = rows, options

    def __call__(self, key: Array, values: Named) -> Named:
        options, number = self._options, len(self._rows)
        keys, level = jax.random.split(key, 5), values["level"]
        size = draw(keys[1], (number,), options.size, "log_uniform")
        cells = jax.random.uniform(keys[4], (number, 3), maxval=256.0)
        own = {
            "pattern_amount": draw(keys[0], (number,), options.amount, level=level, neutral=0.0),
            "pattern_size": size,
            "pattern_rgb": jax.random.uniform(keys[2], (number, 3)),
            "pattern_checkered": jax.random.bernoulli(keys[3], options.checkered, (number,)),
            "pattern_shift": cells * size[:, None],
        }
        return {name: values[name].at[self._rows].set(drawn) for name, drawn in own.items()}


class Background:
    """Noise or a part of a picture in place of what is fixed in the world, and behind it."""

    stage: Literal["visual"] = "visual"
    writes = BACKGROUND_FIELDS

    def __init__(self, geoms: np.ndarray, pictures: np.ndarray | None, share: float) -> None:
        """geoms: int[n], those replaced. pictures: uint8[N, S, S, 3]; None: noise."""
        self._geoms, self._pictures, self._share = geoms, pictures, share

    def __call__(self, key: Array, values: Named) -> Named:
        chance, picture_key = jax.random.split(key)
        drawn = _noise(picture_key) if self._pictures is None else self._part(picture_key)
        replaced = jax.random.uniform(chance) < self._share
        amount = values["level"] * replaced
        old = values["background"]
        return {
            "background": old + amount * (drawn - old),
            "background_through": values["background_through"].at[self._geoms].set(amount),
        }

    def _part(self, key: Array) -> Array:
        """float32[S, S, 3]: a square part of one of the pictures, maybe mirrored."""
        assert self._pictures is not None
        which, size_key, place_key, flip_key = jax.random.split(key, 4)
        count, side = self._pictures.shape[:2]
        size = jax.random.uniform(size_key, minval=0.5) * side
        first = jax.random.uniform(place_key, (2,)) * (side - size)
        steps = (jnp.arange(BACKGROUND_SIDE) + 0.5) / BACKGROUND_SIDE
        places = jnp.floor(first[:, None] + size * steps).astype(jnp.int32)
        columns = jnp.where(jax.random.bernoulli(flip_key), places[1, ::-1], places[1])
        picture = jnp.asarray(self._pictures)[jax.random.randint(which, (), 0, count)]
        return picture[places[0][:, None], columns] / 255.0


class Distractors:
    """Some of the scene's transparent bodies become opaque, in places and colours of their own."""

    stage: Literal["visual"] = "visual"
    writes = frozenset({"body_pos", "body_quat", "geom_rgba"})

    def __init__(
        self, model: mujoco.MjModel, bodies: np.ndarray, options: config.DistractorsConfig
    ) -> None:
        """bodies: int[n]."""
        self._bodies, self._options = bodies, options
        self._geoms = np.flatnonzero(np.isin(model.geom_bodyid, bodies))
        self._owner = np.searchsorted(bodies, model.geom_bodyid[self._geoms])

    def __call__(self, key: Array, values: Named) -> Named:
        options, number, level = self._options, len(self._bodies), values["level"]
        keys = jax.random.split(key, 5)
        low, high = options.number
        seen = jnp.floor(level * jax.random.randint(keys[0], (), low, high + 1))
        shown = jax.random.permutation(keys[1], number) < seen
        shift = options.shift * jax.random.uniform(keys[2], (number, 2), minval=-1.0)
        turn = jax.random.uniform(keys[3], (number,), maxval=2.0 * jnp.pi)
        quats = jax.vmap(rotation.about_vertical)(turn)
        colours = jax.random.uniform(keys[4], (number, 3))
        rgba = jnp.concatenate([colours, shown[:, None]], axis=1)[self._owner]
        quat = values["body_quat"]
        turned = jax.vmap(rotation.multiply)(quats, quat[self._bodies])
        return {
            "body_pos": values["body_pos"].at[self._bodies, :2].add(shift),
            "body_quat": quat.at[self._bodies].set(turned),
            "geom_rgba": values["geom_rgba"].at[self._geoms].set(rgba),
        }


def _noise(key: Array) -> Array:
    """float32[S, S, 3]: smooth noise of several sizes around a random colour."""
    base_key, size_key, *keys = jax.random.split(key, 2 + len(_OCTAVES))
    picture = jnp.broadcast_to(
        jax.random.uniform(base_key, (3,)), (BACKGROUND_SIDE, BACKGROUND_SIDE, 3)
    )
    # Of another strength in each episode, from nearly plain to wild.
    strength = jax.random.uniform(size_key, (len(_OCTAVES),), maxval=0.7)
    for size, cells, octave in zip(strength, _OCTAVES, keys, strict=True):
        corners = jax.random.uniform(octave, (cells, cells, 3), minval=-1.0)
        between = _between(cells)
        picture += size * jnp.einsum("ik,jl,klc->ijc", between, between, corners)
    return jnp.clip(picture, 0.0, 1.0)


def _between(cells: int) -> np.ndarray:
    """float32[S, cells]: linear interpolation of `cells` numbers along a side."""
    place = np.linspace(0, cells - 1, BACKGROUND_SIDE)
    weights = np.maximum(1.0 - np.abs(place[:, None] - np.arange(cells)), 0.0)
    return weights.astype(np.float32)
