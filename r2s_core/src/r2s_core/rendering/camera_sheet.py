"""One picture of what an environment's cameras see as episodes start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from r2s_core.config import RunConfig
from r2s_core.env.build import make_environment
from r2s_core.errors import ConfigError
from r2s_core.keys import key_for
from r2s_core.policy.cameras import described
from r2s_core.rendering import overlay
from r2s_core.rendering.render import encode_png
from r2s_core.rendering.sights import coloured, depth_range, fitted, measured_by
from r2s_core.system import files
from r2s_core.types import Environment

_SIDE, _LABEL, _GAP = 256, 20, 6  # pixels: an image's room, the name above a row, around images
_GROUND = (22, 26, 30)


def write(config: RunConfig, path: Path, worlds: int) -> Iterator[str]:
    """Write a PNG with a row for each image and a column for each of `worlds` episodes' starts.

    Returns lines on what each camera is. Raises `ConfigError` where there are no cameras.
    """
    env: Any = make_environment(config, worlds, training=False)
    images = [name for name, group in env.spec.observations.items() if group.is_image]
    if not images:
        raise ConfigError(
            "this environment observes no images; set environment.vision_enabled=true, or list "
            "cameras under environment.cameras"
        )
    obs = env.reset(key_for(config.seed, "camera sheet"))[1]
    rows = [_row(env, name, np.asarray(obs[name])) for name in images]
    files.write_bytes(path, encode_png(np.concatenate(rows)))
    for name, camera in env.spec.cameras.items():
        yield f"{name}: {described(camera, 1.0 / env.spec.control_dt)}"


def _row(env: Environment[Any], name: str, images: np.ndarray) -> np.ndarray:
    """uint8[height, width, 3]: one image of every world, under its name."""
    shown = depth_range(images) if images.dtype == np.uint16 else None
    colours = coloured(images, measured_by(env.spec).get(name), shown)
    pictures = fitted(colours, (_SIDE, _SIDE))
    count, height, width = pictures.shape[:3]
    shape = (1, _LABEL + height + _GAP, max(count * (width + _GAP) + _GAP, 160), 3)
    row = np.broadcast_to(np.asarray(_GROUND, np.uint8), shape).copy()
    for number, picture in enumerate(pictures):
        left = _GAP + number * (width + _GAP)
        row[0, _LABEL : _LABEL + height, left : left + width] = picture
    overlay.write_name(row, name, _GAP, 3, shape[2] - _GAP)
    return row[0]
