"""Patterns on materials and the background, where rays meet them; see `r2s_core.look_fields`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.types import Array, pytree

#: Of a background picture in the plane onto which directions are projected; it is mirrored beyond.
#: It is about 45 degrees wide where a camera looks down at 45.
_PICTURE_WIDTH = 0.45


@pytree
class Patterns:
    """Those of the geoms; leading dimension n, or 1 where all worlds share them.

    A place x in the world is at `turn` x + `start` in cells of the pattern.
    """

    colour: (
        Array  # float32[n, ngeom, 5]: amount, the second colour's red, green and blue, checkered
    )
    turn: Array  # float32[n, ngeom, 9]
    start: Array  # float32[n, ngeom, 3]

    @staticmethod
    def of(
        values: Mapping[str, np.ndarray], position: np.ndarray, rotation: np.ndarray
    ) -> Patterns:
        """values: "amount" and so on, of the geoms, [n, ngeom, ...]; position [n, ngeom, 3] and
        rotation [n, ngeom, 3, 3] of their frames."""
        size = np.maximum(values["size"], 1e-4)[..., None]
        turn = rotation.swapaxes(-1, -2) / size[..., None]
        start = values["shift"] / size - (turn @ position[..., None])[..., 0]
        amount, checkered = values["amount"][..., None], values["checkered"][..., None]
        shape = start.shape[:-1]
        colour = np.concatenate(
            [np.broadcast_to(x, (*shape, x.shape[-1])) for x in (amount, values["rgb"], checkered)],
            axis=-1,
        )
        parts: Any = (colour, turn.reshape(*turn.shape[:-2], 9), start)
        return Patterns(*(jnp.asarray(part, jnp.float32) for part in parts))


@pytree
class Background:
    """What is behind; leading dimension n, or 1 where all worlds share it."""

    picture: Array  # float32[n, S, S, 3]
    through: Array  # float32[n, ngeom]


def patterned(rgb: Array, patterns: Patterns, geom: Array, place: Array) -> Array:
    """float32[n, N, 3]: the colours `rgb` with the patterns of the geoms, int32[n, N], at what is
    hit, float32[n, N, 3], m."""
    # In three look-ups, since XLA is many times slower with rows of more than 16 numbers.
    colour, start = of_row(patterns.colour, geom), of_row(patterns.start, geom)
    turn = [of_row(patterns.turn[..., 3 * i : 3 * i + 3], geom) for i in range(3)]
    cells = [dot(turn[i], place) + start[..., i] for i in range(3)]
    checkered = colour[..., 4]
    share = _noise(cells) * (1.0 - checkered) + _checkers(cells) * checkered
    return rgb + (colour[..., 0] * share)[..., None] * (colour[..., 1:4] - rgb)


def behind(background: Background, direction: Array) -> Array:
    """float32[n, N, 3]: the background in these directions, of any length.

    By stereographic projection from straight above, which keeps shapes and is smooth wherever a
    camera looks that does not look up.
    """
    unit = direction / (jnp.sqrt(dot(direction, direction))[..., None] + 1e-9)
    plane = unit[..., :2] / jnp.maximum(1.0 - unit[..., 2:], 1e-3) / _PICTURE_WIDTH
    mirrored = 1.0 - jnp.abs(jnp.mod(plane + 0.5, 2.0) - 1.0)  # in [0, 1]
    side = background.picture.shape[1]
    texel = mirrored * (side - 1)
    low = jnp.clip(jnp.floor(texel), 0, side - 2)
    part, first = texel - low, low.astype(jnp.int32)
    table = background.picture.reshape(len(background.picture), side * side, 3)

    def texels(x: int, y: int) -> Array:
        weight = jnp.abs(1 - x - part[..., :1]) * jnp.abs(1 - y - part[..., 1:])
        return weight * of_row(table, (first[..., 1] + y) * side + first[..., 0] + x)

    return sum((texels(x, y) for x, y in itertools.product((0, 1), repeat=2)), jnp.float32(0.0))  # type: ignore[return-value]


def of_row(table: Array, index: Array) -> Array:
    """Rows [n, N, k] of a table [n or 1, R, k] by their numbers [n, N]."""
    if table.shape[0] == 1:
        return table[0][index]
    return jax.vmap(lambda rows, numbers: rows[numbers])(table, index)


def dot(a: Array, b: Array) -> Array:
    """[...] of vectors [..., 3]. XLA's sum over an axis of 3 takes ten times as long on a CPU."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def _checkers(cells: Sequence[Array]) -> Array:
    """[...]: 0 or 1 by the cell of a place, whose x, y and z are [...]."""
    x, y, z = map(jnp.floor, cells)
    return jnp.mod(x + y + z, 2.0)


def _noise(cells: Sequence[Array]) -> Array:
    """[...] in [0, 1]: value noise, random at the corners of cells and smooth between."""
    low = [jnp.floor(x) for x in cells]
    part = [x - first for x, first in zip(cells, low, strict=True)]
    part = [x * x * (3.0 - 2.0 * x) for x in part]
    corner = [x.astype(jnp.int32).astype(jnp.uint32) for x in low]
    total = jnp.zeros(cells[0].shape)
    for offset in itertools.product((0, 1), repeat=3):
        weight = jnp.ones(cells[0].shape)
        for x, step in zip(part, offset, strict=True):
            weight *= x if step else 1.0 - x
        total += weight * _random(*(x + step for x, step in zip(corner, offset, strict=True)))
    return total


def _random(x: Array, y: Array, z: Array) -> Array:
    """[...] in [0, 1): a hash of three integers, uint32[...]."""
    mixed = x * jnp.uint32(0x8DA6B343) ^ y * jnp.uint32(0xD8163841) ^ z * jnp.uint32(0xCB1AB31F)
    mixed = (mixed ^ (mixed >> 16)) * jnp.uint32(0x7FEB352D)
    mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(0x846CA68B)
    return (mixed >> 8).astype(jnp.float32) / (1 << 24)
