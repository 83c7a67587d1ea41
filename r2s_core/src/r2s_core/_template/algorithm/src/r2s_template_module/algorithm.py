"""An evolution strategy with antithetic samples (Salimans et al. 2017), each world a sample."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from r2s_core.errors import ConfigError
from r2s_core.rollout import rollout
from r2s_core.types import Array, Environment, Named, Policy, PolicyExport, pytree

from r2s_template_module.plugin import TemplateNameConfig

_CLIP = 10.0  # observations are clipped to +- this, and not normalised


@pytree
class Learner:
    """Everything needed to continue; a pytree of arrays, so that it can be saved and resumed."""

    weights: Array  # float32[P], the mean of the worlds' weights
    optimizer: Any
    env_state: Any
    obs: Named  # leaves [W, ...]
    key: Array


def make(env: Environment[Any], config: TemplateNameConfig) -> EvolutionStrategy:
    """Build the algorithm."""
    return EvolutionStrategy(env, config)


class EvolutionStrategy:
    """See `r2s_core.types.Algorithm`."""

    def __init__(self, env: Environment[Any], config: TemplateNameConfig) -> None:
        """Raises `ConfigError` where the worlds cannot be paired."""
        spec = env.spec
        if spec.num_worlds % 2:
            raise ConfigError(
                f"environment.num_parallel_envs is {spec.num_worlds}; template_name pairs the "
                "worlds, so make it even"
            )
        self.env, self.config = env, config
        self.steps_per_update = config.num_steps * spec.num_worlds
        sizes = (*spec.observations["policy"].shape, config.hidden_size, spec.action_size)
        shapes = itertools.pairwise(sizes)
        self._zeros = tuple((np.zeros(s, np.float32), np.zeros(s[1], np.float32)) for s in shapes)
        self._unravel = ravel_pytree(self._zeros)[1]
        self._low, self._high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)
        self._optimizer = optax.adam(config.learning_rate)
        # One compiled function where the environment can be traced; else its pure pieces are.
        self._update = jax.jit(self._try_and_improve) if spec.traceable else self._try_and_improve
        self._act = jax.jit(self._act_each)
        self._improve = jax.jit(self._improve_mean)
        self._mean_policy = jax.jit(jax.vmap(self._action, (None, 0)))

    def init(self, key: Array) -> Learner:
        weights_key, env_key, key = jax.random.split(key, 3)
        size = ravel_pytree(self._zeros)[0].size
        weights = 0.1 * jax.random.normal(weights_key, (size,))
        env_state, obs = self.env.reset(env_key)
        return Learner(weights, self._optimizer.init(weights), env_state, obs, key)

    def update(self, learner: Learner) -> tuple[Learner, Named]:
        """Collect `steps_per_update` steps and learn from them."""
        return self._update(learner)

    def policy(self, learner: Learner, deterministic: bool) -> Policy:
        """The mean weights; this method explores in weights, so both policies are the same."""
        return lambda obs, key: self._mean_policy(learner.weights, obs["policy"])

    def export(self, learner: Learner) -> PolicyExport:
        layers = jax.tree.map(np.asarray, self._unravel(learner.weights))
        size = len(layers[0][0])
        return PolicyExport.mlp(
            layers=layers,
            activation="tanh",
            observation_mean=np.zeros(size, np.float32),
            observation_std=np.ones(size, np.float32),
            observation_clip=_CLIP,
            output="tanh",
        )

    def _try_and_improve(self, learner: Learner) -> tuple[Learner, Named]:
        """Run each pair of worlds with mean + noise and mean - noise, then follow the gradient."""
        key, noise_key, rollout_key = jax.random.split(learner.key, 3)
        half = (self.env.spec.num_worlds // 2, learner.weights.size)
        noise = jax.random.normal(noise_key, half)
        noise = jnp.concatenate([noise, -noise])
        tried = learner.weights + self.config.noise * noise
        env_state, obs, trajectory = rollout(
            self.env,
            self._act,
            tried,
            learner.env_state,
            learner.obs,
            rollout_key,
            self.config.num_steps,
        )
        reward = jnp.asarray(trajectory.step.reward).mean(axis=0)  # [W]
        weights, optimizer = self._improve(learner.weights, learner.optimizer, noise, reward)
        metrics = {"reward": reward.mean(), "weights_norm": jnp.linalg.norm(weights)}
        return Learner(weights, optimizer, env_state, obs, key), metrics

    def _action(self, weights: Array, obs: Array) -> Array:
        """obs [n] -> action [A] of one world."""
        (kernel, bias), (out_kernel, out_bias) = self._unravel(weights)
        hidden = jnp.tanh(jnp.clip(obs, -_CLIP, _CLIP) @ kernel + bias)
        y = jnp.tanh(hidden @ out_kernel + out_bias)
        return self._low + (y + 1.0) / 2.0 * (self._high - self._low)

    def _act_each(self, tried: Array, obs: Named, key: Array) -> tuple[Array, Named]:
        """World w acts with the weights tried[w]."""
        return jax.vmap(self._action)(tried, obs["policy"]), {}

    def _improve_mean(
        self, weights: Array, optimizer: Any, noise: Array, reward: Array
    ) -> tuple[Array, Any]:
        """One Adam step along the estimated gradient of the standardised reward."""
        advantage = (reward - reward.mean()) / (reward.std() + 1e-8)
        gradient = -(advantage @ noise) / (len(reward) * self.config.noise)
        updates, optimizer = self._optimizer.update(gradient, optimizer, weights)
        return optax.apply_updates(weights, updates), optimizer
