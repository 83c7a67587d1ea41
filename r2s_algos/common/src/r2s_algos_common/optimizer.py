"""Adam with the learning rate as an argument, so that schedules need no state of their own."""

from __future__ import annotations

from typing import Any

import jax
import optax

from r2s_core.types import Array


class Adam:
    """Gradients clipped to a global norm, then Adam (Kingma and Ba 2015). Holds no state."""

    def __init__(self, max_grad_norm: float, epsilon: float = 1e-5) -> None:
        """epsilon: added to the root mean square by which gradients are divided, so that gradients
        far below it cause only small steps."""
        self._transformation = optax.chain(
            optax.clip_by_global_norm(max_grad_norm), optax.scale_by_adam(eps=epsilon)
        )
        self._init = jax.jit(self._transformation.init)

    def init(self, params: Any) -> Any:
        """The optimizer's state. On the host."""
        return self._init(params)

    def step(self, params: Any, state: Any, gradient: Any, rate: Array) -> tuple[Any, Any]:
        """The parameters after one step at this learning rate, and the optimizer's state."""
        direction, state = self._transformation.update(gradient, state)
        return jax.tree.map(lambda p, d: p - rate * d, params, direction), state
