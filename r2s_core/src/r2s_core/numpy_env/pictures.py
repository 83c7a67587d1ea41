"""Renders the current states of an environment's worlds."""

from __future__ import annotations

from typing import Any

import numpy as np

from r2s_core.env.looks import Looks
from r2s_core.env.vector_env import looks_of
from r2s_core.errors import R2SError
from r2s_core.rendering.live import LiveRenderer
from r2s_core.suggest import did_you_mean
from r2s_core.types import Environment, HasScene

_LARGEST = 4096  # pixels of a side


class Pictures:
    """Renders all worlds of an environment; the rendering process starts with the first frame."""

    def __init__(self, env: Environment[Any], width: int, height: int, camera: str | None) -> None:
        """Raises `R2SError` where the environment cannot be rendered so."""
        scene = env.scene if isinstance(env, HasScene) else None
        if scene is None or scene.render_spec is None or "qpos" not in scene.view_fields:
            raise R2SError(
                "this environment cannot be rendered: its scene needs a `render_spec`, and `qpos` "
                "among its `view_fields`; leave out render_mode"
            )
        for name, size in (("width", width), ("height", height)):
            if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= _LARGEST:
                raise R2SError(f"{name} is {size!r}; it must be a whole number, 1 to {_LARGEST}")
        if camera is not None:
            cameras = [each.name for each in scene.render_spec(0).cameras]
            if camera not in cameras:
                known = ", ".join(cameras) or "none"
                raise R2SError(
                    f"the scene has no camera {camera!r}{did_you_mean(camera, cameras)}; it has "
                    f"{known}"
                )
        self._scene, self._looks = scene, looks_of(env)
        self._markers = env.spec.task.markers
        self._size = (width, height, camera)
        self._renderer: LiveRenderer | None = None
        self._plain: dict[int, Any] = {}  # the rendered model of each variant
        self._loaded: dict[int, int] = {}  # model in the renderer, by world or variant

    def draw(self, state: Any, episodes: np.ndarray) -> np.ndarray:
        """uint8[W, height, width, 3] of an environment's state.

        episodes: int[W], the number of each world's running episode: looks change with it.
        """
        if self._renderer is None:
            self._renderer = LiveRenderer(*self._size)
        qpos, variant = np.asarray(state.physics.view.qpos), np.asarray(state.variant)
        worlds = np.arange(len(qpos))
        numbers = variant if self._looks is None else worlds
        needed = variant if self._looks is None else worlds + len(worlds) * episodes
        for world in worlds:
            number, look = int(numbers[world]), int(needed[world])
            if self._loaded.get(number) != look:
                self._renderer.load(number, self._model(int(variant[world]), look))
                self._loaded[number] = look
        markers = {
            body: np.asarray(getattr(state.task, field)) for body, field in self._markers.items()
        }
        return self._renderer.draw(numbers, qpos, markers)

    def close(self) -> None:
        """Stop the rendering process."""
        if self._renderer is not None:
            self._renderer.close()
        self._renderer, self._loaded = None, {}

    def _model(self, variant: int, look: int) -> Any:
        if variant not in self._plain:
            assert self._scene.render_spec is not None
            self._plain[variant] = self._scene.render_spec(variant).compile()
        looks: Looks | None = self._looks
        plain = self._plain[variant]
        return plain if looks is None else looks.of_episode(plain, variant, look)
