"""Several backends as one: groups of worlds, each group with its own model.

For backends in which all worlds of a model have the same object: MJX shares meshes between worlds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.types import Array, Backend, Checked, Named, Physics


class GroupedBackend:
    """See `r2s_core.types.Backend`. Worlds are in the order of the groups."""

    def __init__(self, groups: Sequence[Backend], variants: Sequence[int]) -> None:
        """groups: backends of one kind, whose models have equal views and sizes of state.
        variants: the scene variant of each group's model."""
        self._groups = tuple(groups)
        worlds = [group.num_worlds for group in groups]
        self.variant = np.repeat(np.asarray(variants, np.int32), worlds)
        self.name, self.traceable = groups[0].name, groups[0].traceable
        self.batchable = groups[0].batchable
        ends = np.cumsum(worlds)
        self.num_worlds = int(ends[-1])
        self._slices = [slice(end - g.num_worlds, end) for end, g in zip(ends, groups, strict=True)]

    @property
    def trouble(self) -> str | None:
        """See `MujocoBackend.trouble`."""
        found = (getattr(group, "trouble", None) for group in self._groups)
        return next((trouble for trouble in found if trouble is not None), None)

    def init(self, fields: Named, qpos: Array, qvel: Array) -> Physics:
        return self._join(
            [
                group.init(_rows(fields, part), qpos[part], qvel[part])
                for group, part in zip(self._groups, self._slices, strict=True)
            ],
        )

    def step(self, physics: Physics, ctrl: Array, wrench: Array | None = None) -> Physics:
        def pushed(part: slice) -> tuple[Array, ...]:
            return () if wrench is None else (wrench[part],)

        parts = [
            group.step(one, ctrl[part], *pushed(part))
            for group, part, one in zip(
                self._groups, self._slices, self._split(physics), strict=True
            )
        ]
        return self._join(parts, physics.fields)  # a step does not change them

    def reset(
        self, physics: Physics, mask: Array, fields: Named, qpos: Array, qvel: Array
    ) -> Physics:
        return self._join(
            [
                group.reset(one, mask[part], _rows(fields, part), qpos[part], qvel[part])
                for group, part, one in zip(
                    self._groups, self._slices, self._split(physics), strict=True
                )
            ]
        )

    def check(self) -> None:
        """See `r2s_core.types.Checked`."""
        for group in self._groups:
            if isinstance(group, Checked):
                group.check()

    def _split(self, physics: Physics) -> list[Physics]:
        return [
            Physics(
                carry,
                _rows(physics.fields, part),
                _rows(physics.view, part),
                physics.ok[part],
            )
            for carry, part in zip(physics.carry, self._slices, strict=True)
        ]

    def _join(self, parts: Sequence[Physics], fields: Named | None = None) -> Physics:
        """fields: of all worlds; None: those of the parts, to which a backend may have added
        derived constants."""

        def joined(*rows: Any) -> Any:
            return (jnp if self.traceable else np).concatenate(rows)

        all_fields: Any = fields
        if all_fields is None:
            all_fields = jax.tree.map(joined, *[dict(part.fields) for part in parts])
        view, ok = jax.tree.map(joined, *[(part.view, part.ok) for part in parts])
        return Physics(tuple(part.carry for part in parts), all_fields, view, ok)


def _rows(tree: Any, part: slice) -> Any:
    return jax.tree.map(lambda x: x[part], tree)
