"""Patterns on materials and the background, where rays meet them; see `r2s_core.look_fields`."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp

from r2s_core.types import Array, pytree

#: Of a background picture in the plane onto which directions are projected; it is mirrored beyond.
#: It is about 45 degrees wide where a camera looks down at 45.
_PICTURE_WIDTH = 0.45


@pytree
class Patterns:
    """Those of the geoms; leading dimension n, or 1 where all worlds share them."""

    amount: Array  # float32[n, ngeom]
    rgb: Array  # float32[n, ngeom, 3]
    size: Array  # float32[n, ngeom], m
    shift: Array  # float32[n, ngeom, 3], m
    checkered: Array  # float32[n, ngeom]
    position: Array  # float32[n, ngeom, 3], m, the geoms' frames
    rotation: Array  # float32[n, ngeom, 9]

    def table(self) -> Array:
        """float32[n, ngeom, 21]: all of a geom's numbers in a row, which one look-up finds."""
        parts = [getattr(self, name) for name in self.__dataclass_fields__]
        parts = [part if part.ndim == 3 else part[..., None] for part in parts]
        worlds = max(len(part) for part in parts)
        return jnp.concatenate(
            [jnp.broadcast_to(part, (worlds, *part.shape[1:])) for part in parts], axis=-1
        )


@pytree
class Background:
    """What is behind; leading dimension n, or 1 where all worlds share it."""

    picture: Array  # float32[n, S, S, 3]
    through: Array  # float32[n, ngeom]


def patterned(rgb: Array, rows: Array, place: Array) -> Array:
    """float32[n, N, 3]: the colours `rgb` with the patterns at what is hit.

    rows: float32[n, N, 21], of `Patterns.table`. place: float32[n, N, 3], m.
    """
    amount, second, size = rows[..., :1], rows[..., 1:4], rows[..., 4:5]
    shift, checkered, origin = rows[..., 5:8], rows[..., 8], rows[..., 9:12]
    rotation = rows[..., 12:].reshape(*rows.shape[:-1], 3, 3)
    local = jnp.einsum("...ji,...j->...i", rotation, place - origin)
    cells = (local + shift) / jnp.maximum(size, 1e-4)
    share = _noise(cells) * (1.0 - checkered) + _checkers(cells) * checkered
    return rgb + amount * share[..., None] * (second - rgb)


def behind(background: Background, direction: Array) -> Array:
    """float32[n, N, 3]: the background in these directions, of any length.

    By stereographic projection from straight above, which keeps shapes and is smooth wherever a
    camera looks that does not look up.
    """
    unit = direction / (jnp.linalg.norm(direction, axis=-1, keepdims=True) + 1e-9)
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


def _checkers(cells: Array) -> Array:
    """[...]: 0 or 1 by the cell of a place [..., 3]."""
    return jnp.mod(jnp.sum(jnp.floor(cells), axis=-1), 2.0)


def _noise(cells: Array) -> Array:
    """[...] in [0, 1]: value noise, random at the corners of cells and smooth between."""
    low = jnp.floor(cells)
    part = cells - low
    part = part * part * (3.0 - 2.0 * part)
    corner = low.astype(jnp.int32).astype(jnp.uint32)
    total = jnp.zeros(cells.shape[:-1])
    for offset in itertools.product((0, 1), repeat=3):
        weight = jnp.ones(cells.shape[:-1])
        for axis, step in enumerate(offset):
            weight *= part[..., axis] if step else 1.0 - part[..., axis]
        total += weight * _random(*(corner[..., axis] + step for axis, step in enumerate(offset)))
    return total


def _random(x: Array, y: Array, z: Array) -> Array:
    """[...] in [0, 1): a hash of three integers, uint32[...]."""
    mixed = x * jnp.uint32(0x8DA6B343) ^ y * jnp.uint32(0xD8163841) ^ z * jnp.uint32(0xCB1AB31F)
    mixed = (mixed ^ (mixed >> 16)) * jnp.uint32(0x7FEB352D)
    mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(0x846CA68B)
    return (mixed >> 8).astype(jnp.float32) / (1 << 24)
