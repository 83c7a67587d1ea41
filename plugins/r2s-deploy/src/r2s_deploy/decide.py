"""From what was sensed to what joints are told, on a robot and in a shadow run alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from r2s_deploy.bundle import Bundle
from r2s_deploy.policy import Policy
from r2s_deploy.sensed import Sensed, quantities

Array = np.ndarray


class Decision(NamedTuple):
    """action [A]; targets [n] of the joints, rad; and the fingers' common target."""

    action: Array
    targets: Array
    finger: float


class Decider:
    """A bundle's policy with its past actions, and its control law, in one episode."""

    def __init__(self, bundle: Bundle, policy: Policy) -> None:
        self._bundle, self._policy = bundle, policy
        self._past = np.zeros((1, bundle.history, len(bundle.actions)), np.float32)

    def read(self, sensed: Sensed) -> Array:
        """The numbers that the policy reads, float32[N]."""
        found = quantities(sensed)
        return np.array([found[n.quantity][n.index] for n in self._bundle.numbers], np.float32)

    def decide(
        self, sensed: Sensed, numbers: Array, images: Mapping[str, Array] | None = None
    ) -> Decision:
        """What the policy decides on `numbers`, which were read from `sensed`, and `images` [H, W,
        C]."""
        inputs = {name: image[None] for name, image in (images or {}).items()}
        if self._bundle.numbers:
            inputs["policy"] = numbers[None]
        if self._bundle.history:
            inputs["past_actions"] = self._past
        made = self._policy(inputs)
        self._past = made.get("next_past_actions", self._past)
        action = made["action"][0]
        targets, finger = self._bundle.law.targets(
            action, sensed.angles, sensed.fingers, sensed.finger_target
        )
        return Decision(action, targets, finger)
