"""`renderer: auto`: the fastest that can draw what the cameras of an environment see, here."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import jax
import numpy as np

from r2s_core import registry
from r2s_core.config import RunConfig, Use
from r2s_core.device import has_nvidia_gpu
from r2s_core.errors import BackendError
from r2s_core.system.text import say_once
from r2s_core.types import Renderer, SeenScene

_WORLDS, _SECONDS = 32, 0.15  # of a measurement
#: How much faster `gl` must be than `rays`, whose images are the same on every machine: so much
#: that another measurement would hardly choose otherwise.
_AHEAD = 3.0


def choose(scene: SeenScene, num_worlds: int, compiled: bool) -> Use:
    """`warp` where the whole step is compiled for an NVIDIA GPU; else `rays`, or `gl` where a short
    measurement shows it to be clearly faster.

    compiled: the backend is traceable. The choice depends on the machine, so a run records it.

    Raises `BackendError` where none can draw the scene.
    """
    reasons: list[str] = []
    if compiled and has_nvidia_gpu() and _built("warp", scene, num_worlds, reasons) is not None:
        return _use("warp")
    worlds = min(num_worlds, _WORLDS)
    rays = _built("rays", scene, worlds, reasons)
    gl = _built("gl", scene, worlds, reasons)
    try:
        if rays is None and gl is None:
            raise BackendError(f"nothing here can draw what the cameras see: {'; '.join(reasons)}")
        if gl is None or rays is None:
            return _use("rays" if gl is None else "gl")
        speeds = {name: images_per_second(r, scene) for name, r in (("rays", rays), ("gl", gl))}
        chosen = "gl" if speeds["gl"] > _AHEAD * speeds["rays"] else "rays"
    finally:
        if gl is not None:
            gl.close()
    measured = ", ".join(f"{name} {_rounded(speed)}" for name, speed in speeds.items())
    say_once(f"renderer: {chosen} (images/s here: {measured})")
    return _use(chosen)


def with_renderer(config: RunConfig, renderer: Use) -> RunConfig:
    """The configuration with what draws the cameras' images."""
    engine = dataclasses.replace(config.environment.engine, renderer=renderer)
    environment = dataclasses.replace(config.environment, engine=engine)
    return dataclasses.replace(config, environment=environment)


def images_per_second(renderer: Renderer, scene: SeenScene, seconds: float = _SECONDS) -> float:
    """The images of all cameras that a renderer draws in a second, once it is compiled."""
    model, worlds = scene.model, renderer.num_worlds

    def each(values: Any) -> Any:
        return np.repeat(np.asarray(values)[None], worlds, axis=0)

    qpos: Any = each(model.qpos0.astype(np.float32))
    mocap_pos: Any = each(model.body_pos[model.body_mocapid >= 0].astype(np.float32))
    fields: Any = {name: each(getattr(model, name)) for name in scene.varied}
    due: Any = {name: np.ones(worlds, bool) for name in scene.cameras}
    render = jax.jit(renderer.render) if renderer.traceable else renderer.render
    for _ in range(2):
        jax.block_until_ready(render(qpos, mocap_pos, fields, due))
    images, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        jax.block_until_ready(render(qpos, mocap_pos, fields, due))
        images += worlds * len(scene.cameras)
    return images / elapsed


def _built(name: str, scene: SeenScene, num_worlds: int, reasons: list[str]) -> Any:
    """The renderer, or None, with the reason, where it cannot draw the scene."""
    options = registry.get("renderer", name).default_options()
    try:
        return registry.build("renderer", name, scene, num_worlds, options)
    except BackendError as error:
        reasons.append(str(error))
        return None


def _use(name: str) -> Use:
    return Use(name, registry.get("renderer", name).default_options())


def _rounded(speed: float) -> str:
    """To two digits, since it is a short measurement."""
    return f"{float(f'{speed:.2g}'):,.0f}"
