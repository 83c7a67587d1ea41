"""The part in which off-policy algorithms differ."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from r2s_algos_common.demonstrations.clone import Term
from r2s_algos_common.off_policy.batch import Batch
from r2s_algos_common.off_policy.critic import Critic
from r2s_algos_common.off_policy.reading import Reading
from r2s_core.types import Array, Named

N = TypeVar("N")  # the networks, optimizers and counters of an actor-critic, a pytree


class ActorCritic(Protocol[N]):
    """How to act and to learn: pure functions of the networks `N`.

    Observations are groups by name, their numbers normalised, their images as observed; actions lie
    in [-1, 1]; `progress`, float32[], is the finished share of training.
    """

    critic: Critic
    reading: Reading

    def init(self, key: Array) -> N:
        """Untrained networks. On the host."""
        ...

    def acting(self, networks: N, progress: Array) -> Any:
        """The part of the networks that acting needs."""
        ...

    def act(self, acting: Any, observation: Named, noise: Array) -> Array:
        """The action [W, A] to explore with, under standard normal noise [W, A]."""
        ...

    def mean(self, acting: Any, observation: Named) -> Array:
        """The deterministic action [W, A]."""
        ...

    def learn_critics(self, networks: N, batch: Batch, rate: Array, key: Array) -> tuple[N, Named]:
        """One gradient step of the critics and their targets at this learning rate; metrics
        float32[]."""
        ...

    def learn_policy(
        self, networks: N, batch: Batch, rate: Array, key: Array, term: Term | None = None
    ) -> tuple[N, Named]:
        """One gradient step of the policy and its auxiliary parameters; metrics float32[].

        term: see `with_term`; of the parameters that `raw` takes.
        """
        ...

    # For a cloned start.

    def raw(self, policy: Any, observation: Named) -> Array:
        """The mean action before tanh [B, A], from the policy's parameters."""
        ...

    def policy_of(self, networks: N) -> Any:
        """The policy's parameters, with the encoders of its images in "encoders"."""
        ...

    def with_policy(self, networks: N, policy: Any) -> N:
        """Untrained networks with another policy, in the targets too."""
        ...

    def layers(self, networks: N) -> tuple[tuple[Any, Any], ...]:
        """(kernel, bias) of the deterministic policy's layers, whose output passes through tanh."""
        ...
