"""A backend whose timestep is a part of the task's own, for who counts in the task's."""

from __future__ import annotations

from r2s_core.types import Array, Backend, Named, Physics


class FinerBackend:
    """See `r2s_core.types.Backend`; makes `parts` physics steps of each that is asked for."""

    def __init__(self, backend: Backend, parts: int) -> None:
        self._backend, self._parts = backend, parts
        self.name, self.num_worlds = backend.name, backend.num_worlds
        self.batchable, self.traceable = backend.batchable, backend.traceable

    def init(self, fields: Named, qpos: Array, qvel: Array) -> Physics:
        return self._backend.init(fields, qpos, qvel)

    def step(
        self, physics: Physics, ctrl: Array, substeps: int, wrench: Array | None = None
    ) -> Physics:
        pushed = () if wrench is None else (wrench,)
        return self._backend.step(physics, ctrl, self._parts * substeps, *pushed)

    def reset(
        self, physics: Physics, mask: Array, fields: Named, qpos: Array, qvel: Array
    ) -> Physics:
        return self._backend.reset(physics, mask, fields, qpos, qvel)
