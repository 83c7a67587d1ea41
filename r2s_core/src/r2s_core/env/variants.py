"""Which variant of the scene each world has, e.g. which object."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco.batch import MODEL_FIELDS

from r2s_core.types import Array, Backend, Named, SceneSpec


def differing_fields(
    models: Sequence[mujoco.MjModel],
    ignored: tuple[str, ...],
    refused: Callable[[str], Exception],
) -> dict[str, np.ndarray]:
    """The MjModel fields in which variants of a scene differ: name -> their values [K, ...].

    ignored: prefixes of fields that are left out. refused: makes the exception that is raised for
    the name of a field that differs in size, which no one model could hold.
    """
    tables = {}
    for name in sorted(n for n in MODEL_FIELDS if not n.startswith(ignored)):
        values = [np.array(getattr(model, name)) for model in models]
        if any(value.shape != values[0].shape for value in values):
            raise refused(name)
        if any((value != values[0]).any() for value in values):
            tables[name] = np.stack(values)
    return tables


class Variation:
    """Which variant of the scene each world has, and the variant's model fields."""

    def __init__(
        self,
        scene: SceneSpec,
        backend: Backend,
        played: tuple[int, ...] | None,
        varied: Collection[str] = (),
    ) -> None:
        """played: the variants that the worlds are split evenly between; None: those that are not
        held out, sampled for every episode where the backend can change them. varied: the model
        fields that randomizers change, starting from each variant's own values."""
        variants, self._worlds = scene.variants, backend.num_worlds
        self._tables: Named = {}
        self._pool = self._fixed = None
        if variants is None:
            return
        # A backend that has a model for each variant, with these values in it, is given only what
        # randomizers change.
        has_models = backend.variant is not None
        given = set(varied) if has_models else set(variants.fields)
        self._tables = {
            name: as_field(table) for name, table in variants.fields.items() if name in given
        }
        pool = np.flatnonzero(~np.asarray(variants.held_out))
        if has_models:
            self._fixed = backend.variant
        elif played is not None:
            self._fixed = variant_of_world(played, self._worlds)
        self._pool = jnp.asarray(pool, jnp.int32)

    def draw(self, key: Array) -> Array:
        """int32[W]: for the episodes that start now."""
        if self._pool is None:
            return jnp.zeros(self._worlds, jnp.int32)
        if self._fixed is not None:
            return jnp.asarray(self._fixed)
        return self._pool[jax.random.randint(key, (self._worlds,), 0, len(self._pool))]

    def fields(self, variant: Array) -> dict[str, Array]:
        """One world's model fields."""
        return {name: table[variant] for name, table in self._tables.items()}


def variant_of_world(variants: tuple[int, ...], num_worlds: int) -> np.ndarray:
    """int32[W]: equal, contiguous shares of the worlds."""
    share = np.arange(num_worlds) * len(variants) // num_worlds
    return np.asarray(variants, np.int32)[share]


def as_field(table: Any) -> Array:
    """A table of a model field's values, integers as int32 and the rest as float32."""
    table = np.asarray(table)
    return jnp.asarray(table, jnp.int32 if table.dtype.kind in "iub" else jnp.float32)
