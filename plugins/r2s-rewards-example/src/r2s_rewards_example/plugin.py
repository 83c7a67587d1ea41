"""The manifest and the options; imported for listing, so nothing heavy here."""

from __future__ import annotations

import dataclasses

from r2s_core.plugin import Plugin, option


@dataclasses.dataclass(frozen=True)
class SpeedLimitConfig:
    """Options of the reward `speed_limit`."""

    limit: float = option(2.0, "speed up to which nothing is charged, rad/s or m/s", above=0.0)


PLUGIN = Plugin(
    name="speed_limit",
    kind="reward",
    summary="-(speed above a limit)^2 of every joint, against hasty motion",
    target="r2s_rewards_example.reward:make",
    config=SpeedLimitConfig,
)
