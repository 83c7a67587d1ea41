"""Critics: one or more estimates of an action's value, scalar or categorical."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from r2s_algos_common.encoders.reader import Reader
from r2s_algos_common.metrics import weighted_mean
from r2s_algos_common.networks import MLP, init_mlp
from r2s_algos_common.off_policy.batch import Batch
from r2s_algos_common.off_policy.config import OffPolicyConfig
from r2s_algos_common.optimizer import Adam
from r2s_core.types import Array, Named, pytree


@pytree
class Critics:
    """Parameters and optimizer; one entry per network."""

    online: tuple[Any, ...]
    target: tuple[Any, ...]  # moving averages of the online ones
    optimizer: Any
    encoders: Any  # of the images that all of them read; {}: none


class Critic:
    """`count` networks of (observation, action), whose minimum bootstraps the target.

    That is clipped double Q-learning (Fujimoto et al. 2018, eq. 10). With `num_atoms` each
    network outputs a distribution over returns, learned by projecting the Bellman target onto the
    atoms (Bellemare et al. 2017, algorithm 1). Holds no weights.
    """

    def __init__(
        self, config: OffPolicyConfig, reader: Reader, action_size: int, count: int
    ) -> None:
        """reader: of what the critics observe."""
        self._reader, self._inputs, self._count = reader, reader.size + action_size, count
        self._target_update_rate = config.target_update_rate
        self._adam = Adam(config.max_grad_norm, config.adam_epsilon)
        self.atoms = None
        if config.num_atoms is not None:
            self.atoms = jnp.linspace(*config.value_range, config.num_atoms, dtype=jnp.float32)
        hidden = config.critic_hidden_sizes or config.hidden_sizes
        outputs = config.num_atoms or 1
        self._network = MLP((*hidden, outputs), config.activation, layer_norm=config.layer_norm)

    def init(self, key: Array) -> Critics:
        """Untrained networks. On the host."""
        keys = jax.random.split(key, self._count)
        online = tuple(init_mlp(self._network, k, self._inputs) for k in keys)
        encoders = self._reader.init(jax.random.fold_in(key, 0)) if self._reader.images else {}
        optimizer = self._adam.init((online, encoders))
        return Critics(online=online, target=online, optimizer=optimizer, encoders=encoders)

    def read(self, encoders: Any, observed: Named) -> Array:
        """What the critics observe as one vector, float32[B, n]. observed: `normalized`."""
        return self._reader.encode(encoders, observed)

    def learn(
        self, critics: Critics, batch: Batch, target: Array, rate: Array
    ) -> tuple[Critics, Named]:
        """A gradient step towards `target`, and an update of the target networks."""

        def loss(learned: tuple[Any, Any]) -> tuple[Array, Array]:
            online, encoders = learned
            observation = self.read(encoders, batch.observation)
            return self.loss(online, observation, batch.action, target, batch.weight)

        learned = critics.online, critics.encoders
        (size, value), gradient = jax.value_and_grad(loss, has_aux=True)(learned)
        learned, optimizer = self._adam.step(learned, critics.optimizer, gradient, rate)
        online, encoders = learned
        moved = polyak(critics.target, online, self._target_update_rate)
        metrics = {"loss/critic": size, "value": value}
        if self.atoms is not None:
            metrics["value_range_ends"] = jnp.mean(target[:, 0] + target[:, -1])
        return Critics(online, moved, optimizer, encoders), metrics

    def values(self, params: tuple[Any, ...], observation: Array, action: Array) -> Array:
        """Each network's expected return, float32[count, B]. observation: from `read`."""
        outputs = self._outputs(params, observation, action)
        return jnp.stack([self._expected(x) for x in outputs])

    def target(
        self, critics: Critics, batch: Batch, action: Array, bonus: Array | float = 0.0
    ) -> Array:
        """The learning target: reward + discount * (minimum of the target networks + bonus).

        Args:
          action: float32[B, A], the policy's action in the next observation.
          bonus: float32[B], added to the value, such as an entropy bonus.

        Returns:
          float32[B], or with atoms the probabilities float32[B, atoms].
        """
        reward, discount = batch.reward, batch.discount
        observation = self.read(critics.encoders, batch.next_observation)
        outputs = self._outputs(critics.target, observation, action)
        values = jnp.stack([self._expected(x) for x in outputs])
        if self.atoms is None:
            return reward + discount * (jnp.min(values, axis=0) + bonus)
        probabilities = jnp.stack([jax.nn.softmax(x) for x in outputs])
        least = jnp.argmin(values, axis=0)
        chosen = jnp.take_along_axis(probabilities, least[None, :, None], axis=0)[0]
        bonus = jnp.broadcast_to(bonus, reward.shape)
        moved = reward[:, None] + discount[:, None] * (self.atoms + bonus[:, None])
        return _project(chosen, moved, self.atoms)

    def loss(
        self,
        params: tuple[Any, ...],
        observation: Array,
        action: Array,
        target: Array,
        weight: Array,
    ) -> tuple[Array, Array]:
        """The loss summed over the networks, float32[], and the mean value, float32[]."""
        outputs = self._outputs(params, observation, action)
        total = jnp.float32(0.0)
        for output in outputs:
            if self.atoms is None:
                error = 0.5 * jnp.square(output[..., 0] - target)
            else:
                error = -jnp.sum(target * jax.nn.log_softmax(output), axis=-1)
            total += weighted_mean(error, weight)
        return total, jnp.mean(self._expected(outputs[0]))

    def _outputs(self, params: tuple[Any, ...], observation: Array, action: Array) -> list[Array]:
        # One after another: on a CPU, two matrix products are faster than one of a stack.
        x = jnp.concatenate([observation, action], axis=-1)
        return [self._network.apply(p, x) for p in params]  # type: ignore[misc]

    def _expected(self, output: Array) -> Array:
        if self.atoms is None:
            return output[..., 0]
        return jnp.sum(jax.nn.softmax(output) * self.atoms, axis=-1)


def _project(probabilities: Array, moved: Array, atoms: Array) -> Array:
    """Probabilities float32[B, n] at `moved` float32[B, n], projected onto the nearest atoms."""
    spacing = atoms[1] - atoms[0]
    place = (jnp.clip(moved, atoms[0], atoms[-1]) - atoms[0]) / spacing
    near = jnp.clip(1.0 - jnp.abs(place[:, :, None] - jnp.arange(atoms.size)), 0.0, 1.0)
    return jnp.einsum("bi,bij->bj", probabilities, near, precision=jax.lax.Precision.HIGHEST)


def polyak(target: Any, online: Any, rate: float) -> Any:
    """Polyak averaging: target networks moved towards the online ones (Lillicrap et al. 2016)."""
    return jax.tree.map(lambda t, o: t + rate * (o - t), target, online)
