"""What policy and critics read, and which of them the encoders of images learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax

from r2s_algos_common.encoders.reader import Reader
from r2s_algos_common.off_policy.config import OffPolicyConfig
from r2s_core.types import Array, EnvSpec, Named


class Reading:
    """The readers of policy and critics. Holds no weights.

    Where the critics read images, the policy reads by the critics' encoders, which learn from the
    critics' loss alone (DrQ-v2, Yarats et al. 2022). Otherwise it reads by its own, which are part
    of its parameters and learn from its loss: where the critics read numbers, and where the policy
    is cloned first, since it would no longer be what was cloned once the critics learn.
    """

    def __init__(
        self, spec: EnvSpec, config: OffPolicyConfig, critic_groups: Sequence[str]
    ) -> None:
        """critic_groups: from `checks.critic_groups`."""
        options, enabled = config.image_encoder, config.normalize_observations
        self.policy = Reader(spec, spec.policy_groups, options, enabled)
        self.critic = Reader(spec, critic_groups, options, enabled)
        self.shared = bool(self.critic.images) and not config.cloning_steps

    def with_encoders(self, policy: dict[str, Any], key: Array) -> dict[str, Any]:
        """An untrained policy's parameters with encoders of its own, where it has some."""
        if self.shared or not self.policy.images:
            return policy
        return {**policy, "encoders": self.policy.init(jax.random.fold_in(key, 0))}

    def whole(self, policy: Mapping[str, Any], critic_encoders: Any) -> Mapping[str, Any]:
        """The policy's parameters with the encoders that it reads by."""
        return {**policy, "encoders": critic_encoders} if self.shared else policy

    def parts(self, whole: Mapping[str, Any], critic_encoders: Any) -> tuple[Any, Any]:
        """From `whole`: the policy's parameters, and the critics' encoders."""
        if not self.shared:
            return whole, critic_encoders
        return {n: x for n, x in whole.items() if n != "encoders"}, whole["encoders"]

    def read(self, whole: Mapping[str, Any], observed: Named) -> Array:
        """What the policy reads as one vector, float32[..., n]. observed: `normalized`."""
        return self.policy.encode(whole.get("encoders", {}), observed)
