"""The randomizer: a pure function of a key and the nominal values of ONE world."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
from r2s_core.types import Array, Named, RandomizerContext

from r2s_template_module.plugin import TemplateNameConfig


@dataclasses.dataclass(frozen=True)
class JointDamping:
    """Multiplies `dof_damping`, joint by joint.

    stage: "model" varies fields of MjModel at each reset; `r2s_core.types.Randomizer` lists the
        other stages.
    writes: exactly the names that a call returns.
    """

    low: float
    high: float
    stage: Literal["model"] = "model"
    writes: frozenset[str] = frozenset({"dof_damping"})

    def __call__(self, key: Array, values: Named) -> Named:
        """Sample from the nominal `values`; never from an earlier sample."""
        nominal = values["dof_damping"]  # float32[nv], N s/m or N m s/rad
        factor = jax.random.uniform(key, nominal.shape, minval=self.low, maxval=self.high)
        return {"dof_damping": nominal * factor}


def make(config: TemplateNameConfig, context: RandomizerContext) -> JointDamping:
    """Build the randomizer; look up ids in `context.model` here, on the host."""
    return JointDamping(*config.range)
