"""DDPG's options; imports nothing heavy, so that listing and validating stay fast."""

from __future__ import annotations

import dataclasses

from r2s_algos_common.off_policy.config import OffPolicyConfig
from r2s_core.plugin import option


@dataclasses.dataclass(frozen=True)
class DDPGConfig(OffPolicyConfig):
    """Options of deep deterministic policy gradients; the defaults suit pick-and-place.

    TD3 is twin_critics, target_noise above 0, policy_delay 2 and num_atoms null, all defaults but
    the last; DDPG as published is twin_critics: false, target_noise: 0, policy_delay: 1,
    num_atoms: null; with atoms and n_step it is D4PG (Barth-Maron et al. 2018).
    """

    discount: float = option(0.9, "discount per control step", minimum=0.0, below=1.0)
    num_atoms: int | None = option(
        51,
        "atoms of a categorical critic (Bellemare et al. 2017); null: a scalar critic",
        minimum=2,
        maximum=10_000,
    )
    # TD3's fixes (Fujimoto et al. 2018); the third, policy_delay, is inherited
    twin_critics: bool = option(True, "two critics, whose minimum bootstraps the target")
    target_noise: float = option(
        0.1, "standard deviation of the noise on target actions; 0: none", minimum=0.0
    )
    target_noise_clip: float = option(0.3, "that noise is clipped to +- this", above=0.0)
    # Exploration
    exploration_noise: tuple[float, float] = option(
        (0.1, 0.6),
        "standard deviation of the noise on actions in [-1, 1], in the world that explores least "
        "and in the one that explores most",
    )
    final_noise_scale: float = option(
        0.1, "factor of that noise at total_timesteps, reached linearly from 1", minimum=0.0
    )
    # Policy
    preactivation_penalty: float = option(
        1e-3, "weight of the squared inputs of the policy's last tanh in its loss", minimum=0.0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.exploration_noise
        if not 0.0 <= low <= high:
            raise ValueError(
                f"exploration_noise is {[low, high]}; it must be [low, high] with 0 <= low <= high"
            )
