"""Errors of cameras' colour images; see `r2s_core.types.RemembersEpisode`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.draw import draw
from r2s_core.types import Array, Named, pytree
from r2s_randomization_sensor.config import CameraNoiseConfig

_WHITE = 255.0
#: float32[256], of standard deviation 1: a normal distribution by its quantiles. A byte of random
#: bits picks one, which takes a tenth of the time of `jax.random.normal`.
_QUANTILES = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)], np.float32)
_QUANTILES /= _QUANTILES.std()
_KERNEL_REACH = 3.0  # standard deviations


@pytree
class Camera:
    """What one camera's images have in common in an episode."""

    colour: Array  # float32[3], factor on red, green and blue
    blur: Array  # float32[], pixels


class CameraNoise:
    """Images of a camera: blurred, too bright or too dark, of another white, and noisy.

    In this order, as light passes a lens, an exposure, and a sensor's electronics. The levels are
    rounded and clipped to 8 bits once, at the end.
    """

    stage: Literal["reading"] = "reading"

    def __init__(self, images: tuple[str, ...], options: CameraNoiseConfig) -> None:
        """images: groups of uint8[H, W, 3]."""
        self.writes = frozenset(images)
        self._names, self._options = images, options
        self._reach = math.ceil(_KERNEL_REACH * options.blur[1])

    def begin(self, key: Array, values: Named) -> dict[str, Camera]:
        keys = jax.random.split(key, len(self._names))
        return {n: self._camera(k, values["level"]) for n, k in zip(self._names, keys, strict=True)}

    def step(
        self, memory: Mapping[str, Camera], key: Array, values: Named
    ) -> tuple[dict[str, Camera], dict[str, Any]]:
        keys, level = jax.random.split(key, len(self._names)), values["level"]
        seen = {
            name: self._image(memory[name], one, values[name], level)
            for name, one in zip(self._names, keys, strict=True)
        }
        return dict(memory), seen

    def _camera(self, key: Array, level: Array) -> Camera:
        options = self._options
        bright, white, blur = jax.random.split(key, 3)
        exposure = draw(bright, (), options.exposure, level=level)
        tint = options.white_balance * jax.random.uniform(white, (3,), minval=-1.0)
        return Camera(
            colour=exposure * (1.0 + level * tint),
            blur=draw(blur, (), options.blur, level=level, neutral=0.0),
        )

    def _image(self, camera: Camera, key: Array, image: Array, level: Array) -> Array:
        noise_key, gain_key = jax.random.split(key)
        levels = _blurred(image.astype(jnp.float32), camera.blur, self._reach)
        levels *= camera.colour
        if self._options.gain:
            levels *= 1.0 + level * self._options.gain * jax.random.normal(gain_key)
        if self._options.noise:
            levels += level * self._options.noise * _normal(noise_key, image.shape)
        return jnp.clip(jnp.round(levels), 0.0, _WHITE).astype(jnp.uint8)


def _blurred(levels: Array, std: Array, reach: int) -> Array:
    """[H, W, C] under a Gaussian kernel of `std` pixels and 2 reach + 1 in size; beyond its border
    an image goes on as it ends."""
    if not reach:
        return levels
    places = np.arange(-reach, reach + 1)
    weights = jnp.exp(-0.5 * (places / jnp.maximum(std, 1e-3)) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        width = [(0, 0)] * levels.ndim
        width[axis] = (reach, reach)
        padded, size = jnp.pad(levels, width, mode="edge"), levels.shape[axis]
        shifted = [jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(len(places))]
        levels = sum(w * part for w, part in zip(weights, shifted, strict=True))  # type: ignore[assignment]
    return levels


def _normal(key: Array, shape: tuple[int, ...]) -> Array:
    """float32 of `shape`, standard normal but for tails beyond 2.9."""
    count = math.prod(shape)
    words = jax.random.bits(key, (-(-count // 4),), jnp.uint32)
    drawn = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(-1)[:count]
    return jnp.asarray(_QUANTILES)[drawn].reshape(shape)
