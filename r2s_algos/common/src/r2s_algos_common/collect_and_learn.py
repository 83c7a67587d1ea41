"""The loop that the algorithms share: act in every world for some steps, learn, repeat."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from r2s_algos_common.encoders.config import ImageEncoder
from r2s_algos_common.encoders.reader import Reader
from r2s_core.rollout import Trajectory, rollout
from r2s_core.types import Array, Environment, Named, Policy, PolicyExport


class Learner(Protocol):
    """What every algorithm's learner has; `agent.statistics` has those of the observations."""

    @property
    def agent(self) -> Any: ...
    @property
    def env_state(self) -> Any: ...
    @property
    def obs(self) -> Named: ...


class Config(Protocol):
    """What every algorithm's options have."""

    @property
    def normalize_observations(self) -> bool: ...
    @property
    def activation(self) -> str: ...


L = TypeVar("L", bound=Learner)
C = TypeVar("C", bound=Config)


class CollectAndLearn(abc.ABC, Generic[L, C]):
    """A base of `r2s_core.types.Algorithm`; subclasses define how to act and to learn.

    On a traceable environment an update is one compiled function, and `update_many` compiles
    several updates into one; both donate the buffers of the learner that they are given. On a
    host-driven one the functions that `_collect_and_learn` calls are compiled (`_piece`).
    """

    def __init__(
        self,
        env: Environment[Any],
        config: C,
        num_steps: int,
        output: Literal["clip", "tanh"],
        reader: Reader | None = None,
    ) -> None:
        """num_steps: control steps per world and update. output: see `PolicyExport`. reader: of the
        policy's observations; None: of the group "policy" alone."""
        self.env, self.config, self._num_steps = env, config, num_steps
        self.reader = reader or Reader(
            env.spec, ("policy",), ImageEncoder(), config.normalize_observations
        )
        self._output: Literal["clip", "tanh"] = output
        self.steps_per_update = num_steps * env.spec.num_worlds
        self._acts = self._piece(self._act)
        self._update = self._collect_and_learn
        if env.spec.traceable:
            self._update = jax.jit(self._collect_and_learn, donate_argnums=0)
        self._update_many = jax.jit(self._scan_updates, donate_argnums=0, static_argnums=1)
        self._deterministic = jax.jit(self._act_deterministically)
        self._stochastic = jax.jit(self._act_stochastically)

    @abc.abstractmethod
    def init(self, key: Array) -> L:
        """An untrained learner; see `_reset`."""

    def update(self, learner: L) -> tuple[L, Named]:
        """Collect `steps_per_update` samples and learn.

        Raises `TrainingDiverged` where a loss or gradient is not finite.
        """
        learner, metrics = self._update(learner)
        return learner, self._checked(metrics)

    def update_many(self, learner: L, count: int) -> tuple[L, Named]:
        """`count` updates, compiled into one where the environment is traceable.

        As `update`; the metrics are float32[count], one value per update.
        """
        if self.env.spec.traceable:
            learner, metrics = self._update_many(learner, count)
            return learner, self._checked(metrics)
        rows = []
        for _ in range(count):
            learner, row = self.update(learner)
            rows.append(row)
        return learner, jax.tree.map(lambda *x: np.stack(x), *rows)

    def policy(self, learner: L, deterministic: bool) -> Policy:
        """A callable pytree of weights, which can be an argument of jitted functions."""
        function = self._deterministic if deterministic else self._stochastic
        return jax.tree_util.Partial(function, self._acting(learner.agent))

    def export(self, learner: L) -> PolicyExport:
        """The deterministic policy as host arrays."""
        agent = learner.agent
        return PolicyExport.on(
            self.reader.layers(self._encoders(agent), agent.statistics),
            self._layers(agent),
            self.config.activation,
            self._output,
        )

    # How to act. `acting` is the part of an agent that acting needs.

    @abc.abstractmethod
    def _acting(self, agent: Any) -> Any: ...

    @abc.abstractmethod
    def _act(self, acting: Any, obs: Named, noise: Array) -> tuple[Array, Named]:
        """The action [W, A] under standard normal noise [W, A], and extras for learning."""

    @abc.abstractmethod
    def _act_deterministically(self, acting: Any, obs: Named, key: Array) -> Array:
        """The action [W, A] without noise."""

    def _act_stochastically(self, acting: Any, obs: Named, key: Array) -> Array:
        shape = (*self.reader.leading(obs), self.env.spec.action_size)
        return self._act(acting, obs, jax.random.normal(key, shape, jnp.float32))[0]

    @abc.abstractmethod
    def _layers(self, agent: Any) -> tuple[tuple[Any, Any], ...]:
        """(kernel [in, out], bias [out]) of each layer after the reader, see `PolicyExport.on`."""

    def _encoders(self, agent: Any) -> Mapping[str, Any]:
        """The parameters of the reader's encoders."""
        return {}

    # How to learn.

    def _piece(self, function: Callable[..., Any], donate: tuple[int, ...] = ()) -> Any:
        """A function that `_collect_and_learn` calls: compiled, unless the whole update is.

        donate: indices of the arguments whose buffers are donated.
        """
        traceable = self.env.spec.traceable
        return function if traceable else jax.jit(function, donate_argnums=donate)

    @abc.abstractmethod
    def _collect_and_learn(self, learner: L) -> tuple[L, Any]:
        """One update and its metrics, from pure functions that `_piece` has prepared."""

    @abc.abstractmethod
    def _checked(self, metrics: Any) -> Named:
        """The metrics on the host; raises `TrainingDiverged` where they are not finite."""

    def _collect(self, learner: L, acting: Any, noise: Array) -> tuple[Any, Named, Trajectory]:
        """A `rollout` from the learner's current state, under noise float32[T, W, A]."""
        # A row of a NumPy array is a view; a row of a JAX array costs a dispatch.
        rows = noise if self.env.spec.traceable else np.asarray(noise)
        return rollout(
            self.env,
            self._acts,
            acting,
            learner.env_state,
            learner.obs,
            rows,
            self._num_steps,
        )

    def _scan_updates(self, learner: L, count: int) -> tuple[L, Any]:
        def one(learner: L, _: None) -> tuple[L, Any]:
            return self._collect_and_learn(learner)

        return jax.lax.scan(one, learner, length=count)

    def _reset(self, key: Array) -> tuple[Any, Named]:
        """The environment's state and observation, whose buffers can be donated."""
        reset = self.env.reset(key)
        return own_buffers(reset) if self.env.spec.traceable else reset


@jax.jit
def own_buffers(tree: Any) -> Any:
    """A copy in which every leaf has its own buffer, as donation requires."""
    return jax.tree.map(jnp.copy, tree)
