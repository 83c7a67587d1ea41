"""Random shifts and colours of the images that are learned from."""

from __future__ import annotations

from collections.abc import Iterable

import jax
import jax.numpy as jnp

from r2s_algos_common.encoders.config import Augmentation
from r2s_core.types import Array, Named


def augmented(options: Augmentation, obs: Named, images: Iterable[str], key: Array) -> Named:
    """Observations [B, ...] whose images are changed at random.

    images: the groups that are images. Colours are those of images of 3 channels; where they
    change, these are float32 from 0 to 255.
    """
    changed = dict(obs)
    for number, name in enumerate(images):
        shift_key, colour_key = jax.random.split(jax.random.fold_in(key, number))
        if options.shift:
            changed[name] = shifted(changed[name], options.shift, shift_key)
        if options.colour and changed[name].shape[-1] == 3:
            changed[name] = recoloured(changed[name], options, colour_key)
    return changed


def shifted(image: Array, most: int, key: Array) -> Array:
    """Images [B, H, W, C], each moved by up to `most` pixels along both axes, edges repeated."""
    count, height, width, _ = image.shape
    down, across = jax.random.randint(key, (2, count, 1), -most, most + 1)
    rows = jnp.clip(jnp.arange(height) + down, 0, height - 1)
    columns = jnp.clip(jnp.arange(width) + across, 0, width - 1)
    return image[jnp.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def recoloured(image: Array, options: Augmentation, key: Array) -> Array:
    """Images [B, H, W, 3] of numbers from 0 to 255, with other contrast, gains and brightness."""
    draws = jax.random.uniform(key, (5, image.shape[0], 1, 1, 1), jnp.float32, -1.0, 1.0)
    contrast, brightness = 1.0 + options.contrast * draws[0], 255.0 * options.brightness * draws[1]
    gain = 1.0 + options.gain * jnp.concatenate([*draws[2:]], axis=-1)
    x = (image.astype(jnp.float32) - 127.5) * contrast + 127.5
    return jnp.clip(gain * x + brightness, 0.0, 255.0)
