"""The tanh-squashed Gaussian policy (Haarnoja et al. 2018, appendix C)."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_algos_common.gaussian import gaussian, tanh_log_det
from r2s_algos_common.networks import MLP, init_mlp, mlp_layers
from r2s_algos_sac.config import SACConfig
from r2s_core.types import Array


class SquashedGaussian:
    """A network for mean and deviation of the actions before tanh, of what is read as one vector;
    holds no weights."""

    def __init__(self, inputs: int, actions: int, config: SACConfig) -> None:
        self._inputs, self._actions = inputs, actions
        self._network = MLP((*config.hidden_sizes, 2 * self._actions), config.activation, 0.01)
        self._middle = (config.max_log_std + config.min_log_std) / 2
        self._reach = (config.max_log_std - config.min_log_std) / 2
        # The network's output for the initial deviation.
        self._offset = math.atanh((config.initial_log_std - self._middle) / self._reach)

    def init(self, key: Array) -> dict[str, Any]:
        """Parameters; the mean starts near zero. On the host."""
        return init_mlp(self._network, key, self._inputs)

    def distribution(self, params: Any, observation: Array) -> tuple[Array, Array]:
        """Mean and logarithm of the deviation, float32[B, A] each, before tanh."""
        output: Any = self._network.apply({"params": params["params"]}, observation)
        mean, free = jnp.split(output, 2, axis=-1)
        # Not clipped, since the gradient would vanish at a bound.
        return mean, self._middle + self._reach * jnp.tanh(free + self._offset)

    def mean(self, params: Any, observation: Array) -> Array:
        """The deterministic action, float32[B, A], in [-1, 1]."""
        return jnp.tanh(self.raw(params, observation))

    def raw(self, params: Any, observation: Array) -> Array:
        """The deterministic action before tanh, float32[B, A]."""
        return self.distribution(params, observation)[0]

    def act(self, params: Any, observation: Array, noise: Array) -> Array:
        """The action, float32[B, A], under standard normal noise [B, A]."""
        mean, log_std = self.distribution(params, observation)
        return jnp.tanh(mean + jnp.exp(log_std) * noise)

    def sample(self, params: Any, observation: Array, key: Array) -> tuple[Array, Array]:
        """Actions float32[B, A] and the exact log of their density, float32[B]."""
        mean, log_std = self.distribution(params, observation)
        raw = mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape, mean.dtype)
        return jnp.tanh(raw), log_density(mean, log_std, raw)

    def layers(self, params: Any) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """The layers of the mean alone; see `PolicyExport.mlp`."""
        *hidden, (kernel, bias) = mlp_layers(params)
        return (*hidden, (kernel[:, : self._actions], bias[: self._actions]))


def log_density(mean: Array, log_std: Array, raw: Array) -> Array:
    """The log density of tanh(raw) for Gaussian `raw` float32[B, A]; float32[B]."""
    return gaussian(mean, log_std).log_prob(raw) - tanh_log_det(raw)
