"""The builders, named as the plugins are, and what they build."""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
import numpy as np

from r2s_core.draw import choose, draw
from r2s_core.errors import ConfigError
from r2s_core.types import Array, Named, RandomizerContext
from r2s_randomization_objects.plugin import ObjectConfig


class ObjectMass:
    """The object's mass; its inertia scales with it, as with a change of density."""

    stage: Literal["model"] = "model"
    writes = frozenset({"body_mass", "body_inertia"})

    def __init__(self, options: ObjectConfig, body: int) -> None:
        self._options, self._body = options, body

    def __call__(self, key: Array, values: Named) -> Named:
        mass, inertia, body = values["body_mass"], values["body_inertia"], self._body
        new = _draw(key, values, self._options, "object_mass_range", mass[body])
        return {
            "body_mass": mass.at[body].set(new),
            "body_inertia": inertia.at[body].multiply(new / mass[body]),
        }


class ObjectFriction:
    """The object's sliding friction, the same for all its geoms."""

    stage: Literal["model"] = "model"
    writes = frozenset({"geom_friction"})

    def __init__(self, options: ObjectConfig, geoms: np.ndarray) -> None:
        self._options, self._geoms = options, geoms

    def __call__(self, key: Array, values: Named) -> Named:
        friction = values["geom_friction"]
        nominal = friction[self._geoms[0], 0]
        new = _draw(key, values, self._options, "object_friction_range", nominal)
        return {"geom_friction": friction.at[self._geoms, 0].set(new)}


def object_mass(options: ObjectConfig, context: RandomizerContext) -> ObjectMass:
    """Raises ConfigError if there is no such body, or no range for its mass."""
    _check(options, context, "object_mass_range")
    body = int(choose(context.model, "body", (options.body,), "body")[0])
    if not context.model.body_mass[body] > 0:
        raise ConfigError(f"body: {options.body} has no mass of its own to vary")
    return ObjectMass(options, body)


def object_friction(options: ObjectConfig, context: RandomizerContext) -> ObjectFriction:
    """Raises ConfigError if there is no such body, or no range for its friction."""
    _check(options, context, "object_friction_range")
    body = int(choose(context.model, "body", (options.body,), "body")[0])
    geoms = np.flatnonzero(context.model.geom_bodyid == body)
    if not len(geoms):
        raise ConfigError(f"body: {options.body} has no geoms that could have friction")
    if options.distribution == "log_uniform" and not context.model.geom_friction[geoms[0], 0] > 0:
        raise ConfigError(
            f"distribution is log_uniform, but {options.body} has no friction to start from; use "
            "uniform or normal"
        )
    return ObjectFriction(options, geoms)


def _check(options: ObjectConfig, context: RandomizerContext, name: str) -> None:
    if options.range is None and name not in context.properties:
        raise ConfigError(
            f"the task gives no range for its object's property ({name}); give `range`"
        )


def _draw(key: Array, values: Named, options: ObjectConfig, name: str, nominal: Array) -> Array:
    """float32[]: within the object's range, or the configured one."""
    bounds = values[name] if options.range is None else jnp.array(options.range, jnp.float32)
    # A curriculum starts from the nominal value.
    limits = bounds[0], bounds[1]
    return draw(key, (), limits, options.distribution, level=values["level"], neutral=nominal)
