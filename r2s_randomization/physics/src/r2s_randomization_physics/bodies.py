"""Randomizers of bodies, of gravity and of pushes."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.draw import draw
from r2s_core.types import Array, Named, pytree
from r2s_randomization_physics.config import (
    CenterOfMassConfig,
    GravityConfig,
    InertiaConfig,
    PushConfig,
)


class Inertia:
    """Stretches bodies along their principal axes at constant mass.

    It samples factors on the second moments of mass about its centre, the diagonal of the
    pseudo-inertia in those axes: while they are positive, the tensor is physical (Wensing
    et al. 2018, "Linear matrix inequalities for physically-consistent inertial parameters").
    """

    stage: Literal["model"] = "model"
    writes = frozenset({"body_inertia"})

    def __init__(self, rows: np.ndarray, options: InertiaConfig) -> None:
        self._rows, self._options = rows, options

    def __call__(self, key: Array, values: Named) -> Named:
        inertia, options = values["body_inertia"], self._options
        factors = draw(
            key,
            (1 if options.shared else len(self._rows), 3),
            options.stretch,
            options.distribution,
            level=values["level"],
        )
        old = inertia[self._rows]
        second = jnp.maximum(0.5 * old.sum(axis=1, keepdims=True) - old, 0.0) * factors
        new = second.sum(axis=1, keepdims=True) - second
        return {"body_inertia": inertia.at[self._rows].set(new)}


class CenterOfMass:
    """Shifts centres of mass; the inertia about them is unchanged."""

    stage: Literal["model"] = "model"
    writes = frozenset({"body_ipos"})

    def __init__(self, rows: np.ndarray, options: CenterOfMassConfig) -> None:
        self._rows, self._options = rows, options

    def __call__(self, key: Array, values: Named) -> Named:
        options = self._options
        shift = draw(
            key,
            (1 if options.shared else len(self._rows), 3),
            (-options.shift, options.shift),
            options.distribution,
            level=values["level"],
            neutral=0.0,
        )
        return {"body_ipos": values["body_ipos"].at[self._rows].add(shift)}


class Gravity:
    """Gravity's strength, and its direction within a cone about the nominal one."""

    stage: Literal["model"] = "model"
    writes = frozenset({"opt.gravity"})

    def __init__(self, options: GravityConfig) -> None:
        self._options = options

    def __call__(self, key: Array, values: Named) -> Named:
        options, level = self._options, values["level"]
        strength_key, tilt_key = jax.random.split(key)
        factor = draw(strength_key, (), options.factor, options.distribution, level=level)
        angle, heading = jax.random.uniform(tilt_key, (2,))
        # Uniformly over the cone's cap.
        angle = jnp.deg2rad(options.tilt) * level * jnp.sqrt(angle)
        nominal = values["opt.gravity"]
        size = jnp.linalg.norm(nominal)
        down = nominal / (size + 1e-9)
        helper = jnp.where(jnp.abs(down[0]) < 0.9, jnp.eye(3)[0], jnp.eye(3)[1])
        aside = jnp.cross(down, helper)
        aside /= jnp.linalg.norm(aside)
        turn = 2.0 * jnp.pi * heading
        outward = jnp.cos(turn) * aside + jnp.sin(turn) * jnp.cross(down, aside)
        direction = jnp.cos(angle) * down + jnp.sin(angle) * outward
        return {"opt.gravity": size * factor * direction}


@pytree
class Pushes:
    """Each body's current or next push."""

    force: Array  # float32[n, 3], N
    start: Array  # float32[n], s from now; negative once it has begun


class Push:
    """Pushes bodies at random times in random directions; see `RemembersEpisode`.

    The first push of an episode starts uniformly within the longest interval.
    """

    stage: Literal["wrench"] = "wrench"
    writes = frozenset({"wrench"})

    def __init__(self, rows: np.ndarray, options: PushConfig, control_dt: float) -> None:
        self._rows, self._options, self._dt = rows, options, control_dt

    def begin(self, key: Array, values: Named) -> Pushes:
        force_key, time_key = jax.random.split(key)
        longest = self._options.interval[1]
        start = jax.random.uniform(time_key, self._rows.shape, maxval=longest)
        return Pushes(self._force(force_key, values), start)

    def step(self, memory: Pushes, key: Array, values: Named) -> tuple[Pushes, dict[str, Any]]:
        options, dt = self._options, self._dt
        force_key, time_key = jax.random.split(key)
        # The fraction of this control step during which the push acts.
        begins = jnp.maximum(memory.start, 0.0)
        ends = jnp.minimum(memory.start + options.duration, dt)
        share = jnp.maximum(ends - begins, 0.0) / dt
        wrench = values["wrench"].at[self._rows, :3].add(share[:, None] * memory.force)
        start = memory.start - dt
        over = start + options.duration <= 0.0
        wait = draw(time_key, start.shape, options.interval)
        after = Pushes(
            force=jnp.where(over[:, None], self._force(force_key, values), memory.force),
            start=jnp.where(over, start + wait, start),
        )
        return after, {"wrench": wrench}

    def _force(self, key: Array, values: Named) -> Array:
        options, number = self._options, len(self._rows)
        size_key, direction_key = jax.random.split(key)
        size = draw(
            size_key,
            (1 if options.shared else number,),
            options.force,
            options.distribution,
            level=values["level"],
            neutral=0.0,
        )
        direction = jax.random.normal(direction_key, (number, 3))
        direction /= jnp.linalg.norm(direction, axis=1, keepdims=True) + 1e-9
        return size[:, None] * direction
