"""The options of learning from demonstrations as well as from rewards; imports nothing heavy."""

from __future__ import annotations

import dataclasses

from r2s_core.plugin import option


@dataclasses.dataclass(frozen=True)
class DemonstrationOptions:
    """Options that every algorithm with a critic has; all of them are off by default."""

    cloning_steps: int = option(
        0,
        "gradient steps of behaviour cloning on the demonstrations before anything else; "
        "observations are then normalised as the demonstrated ones throughout",
        minimum=0,
        maximum=10**6,
    )
    critic_warmup: float = option(
        0.0,
        "share of total_timesteps, at the start, in which the cloned policy acts as it is and only "
        "the critic learns",
        minimum=0.0,
        below=1.0,
    )
    cloning_coefficient: float = option(
        0.0,
        "initial weight of the cloning loss on demonstrations in the policy's loss (DAPG)",
        minimum=0.0,
    )
    cloning_until: float | None = option(
        0.5,
        "share of total_timesteps by which that weight has fallen linearly to 0; null: it stays",
        above=0.0,
        maximum=1.0,
    )

    def __post_init__(self) -> None:
        if self.critic_warmup and not self.cloning_steps:
            raise ValueError(
                f"critic_warmup is {self.critic_warmup:g}, which keeps a cloned policy as it is, "
                "but none is cloned; set cloning_steps, such as to 2000, or critic_warmup to 0"
            )
        until = self.cloning_until
        if self.cloning_coefficient and until is not None and until <= self.critic_warmup:
            raise ValueError(
                f"cloning_until is {until:g}, and the policy does not learn before "
                f"{self.critic_warmup:g} (critic_warmup), so cloning_coefficient has no effect; "
                "raise cloning_until"
            )

    def demonstration_users(self) -> tuple[str, ...]:
        """The options that are on and read demonstrations."""
        names = ("cloning_steps", "cloning_coefficient")
        return tuple(name for name in names if getattr(self, name))
