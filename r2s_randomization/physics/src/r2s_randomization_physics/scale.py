"""Model fields changed row by row, as most randomizers of physics do."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.draw import draw
from r2s_core.ranges import Distribution
from r2s_core.types import Array, Named


@dataclasses.dataclass(frozen=True)
class Change:
    """One quantity sampled for each row, and how it changes the fields.

    fields: by name, the columns that change; None: the field has no columns.
    how: "multiply"; "add"; or "give": 1 less the value is multiplied, within 0 and 1.
    """

    fields: Sequence[tuple[str, slice | None]]
    rows: np.ndarray  # int[n]
    bounds: tuple[float, float]
    how: Literal["multiply", "add", "give"] = "multiply"


class ModelChange:
    """See `r2s_core.types.Randomizer`."""

    stage: Literal["model"] = "model"

    def __init__(self, changes: Sequence[Change], distribution: Distribution, shared: bool) -> None:
        # Neutral changes are skipped: a backend may not be able to vary their fields.
        self._changes = [c for c in changes if c.bounds != (_neutral(c), _neutral(c))]
        self._distribution: Distribution = distribution
        self._shared = shared
        self.writes = frozenset(name for change in self._changes for name, _ in change.fields)

    def __call__(self, key: Array, values: Named) -> Named:
        new = {name: values[name] for name in self.writes}
        for number, change in enumerate(self._changes):
            drawn = draw(
                jax.random.fold_in(key, number),
                (1 if self._shared else len(change.rows),),
                change.bounds,
                self._distribution,
                level=values["level"],
                neutral=_neutral(change),
            )
            drawn = jnp.broadcast_to(drawn, (len(change.rows),))
            for name, columns in change.fields:
                new[name] = _changed(new[name], change, columns, drawn)
        return new


def _neutral(change: Change) -> float:
    return 0.0 if change.how == "add" else 1.0


def _changed(field: Array, change: Change, columns: slice | None, drawn: Array) -> Array:
    where = (change.rows,) if columns is None else (change.rows, columns)
    old = field[where]
    drawn = drawn.reshape(-1, *[1] * (old.ndim - 1))
    if change.how == "give":
        new = jnp.clip(1.0 - (1.0 - old) * drawn, 1e-4, 0.9999)
    else:
        new = old + drawn if change.how == "add" else old * drawn
    return field.at[where].set(new)
