"""What images vary in beside MjModel's fields: patterns on materials, and what is behind the scene.

Randomizers of the stage "visual" write these by name, as they write MjModel's fields. A renderer
that draws them has them in `Renderer.variable`; `rays` does.

* `background`, float32[32, 32, 3]: red, green and blue, 0 to 1, of a picture that is infinitely far
  away all around, seen where a ray hits nothing. Nominal: black.
* `background_through`, float32[ngeom]: how much of it is seen in place of a geom, 0 to 1. Nominal:
  0.
* `pattern_amount`, float32[nmat]: how much a second colour, `pattern_rgb` float32[nmat, 3],
  replaces the material's own where its pattern is full, 0 to 1. Nominal: 0.
* `pattern_size`, float32[nmat], m: of a pattern's cells, which are in the geom's frame, moved by
  `pattern_shift` float32[nmat, 3], m.
* `pattern_checkered`, float32[nmat]: 1 is a checkerboard, 0 is smooth noise, between is a mixture.

A material's pattern is a solid one: it is cut by the surface, and moves with the geom.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import mujoco
import numpy as np

BACKGROUND_SIDE = 32  # texels


def _zeros(*names: str | int) -> Callable[[mujoco.MjModel], np.ndarray]:
    """Zeros of a shape in which names are counts of the model."""

    def made(model: mujoco.MjModel) -> np.ndarray:
        shape = [getattr(model, name) if isinstance(name, str) else name for name in names]
        return np.zeros(shape, np.float32)

    return made


#: The nominal values of each field, for a model.
LOOK_FIELDS: Mapping[str, Callable[[mujoco.MjModel], np.ndarray]] = {
    "background": _zeros(BACKGROUND_SIDE, BACKGROUND_SIDE, 3),
    "background_through": _zeros("ngeom"),
    "pattern_amount": _zeros("nmat"),
    "pattern_rgb": _zeros("nmat", 3),
    "pattern_size": lambda model: np.full(model.nmat, 0.05, np.float32),
    "pattern_shift": _zeros("nmat", 3),
    "pattern_checkered": _zeros("nmat"),
}
BACKGROUND_FIELDS = frozenset(name for name in LOOK_FIELDS if name.startswith("background"))
PATTERN_FIELDS = frozenset(LOOK_FIELDS) - BACKGROUND_FIELDS
