"""PPO's options; imports nothing heavy, so that listing and validating stay fast."""

from __future__ import annotations

import dataclasses
from typing import Literal

from r2s_algos_common.demonstrations.config import DemonstrationOptions
from r2s_algos_common.encoders.config import Augmentation, ImageEncoder
from r2s_core.plugin import option


@dataclasses.dataclass(frozen=True)
class PPOConfig(DemonstrationOptions):
    """Options of proximal policy optimisation; the defaults suit pick-and-place."""

    # Collecting
    num_steps: int = option(
        32, "control steps per world between updates", minimum=1, maximum=10_000
    )
    discount: float = option(0.9, "discount per control step", minimum=0.0, below=1.0)
    final_discount: float | None = option(
        None,
        "discount at total_timesteps; the horizon, 1 / (1 - discount), grows by the same factor in "
        "every update; null: constant",
        minimum=0.0,
        below=1.0,
    )
    gae_lambda: float = option(
        0.9, "lambda of generalised advantage estimation", minimum=0.0, maximum=1.0
    )
    # Learning
    num_epochs: int = option(4, "passes over each batch of experience", minimum=1, maximum=1000)
    num_minibatches: int = option(
        4,
        "minibatches per pass; must divide num_steps * num_parallel_envs",
        minimum=1,
        maximum=2**20,
    )
    clip_range: float = option(0.2, "how far the probability ratio may move from 1", above=0.0)
    value_clip_range: float | None = option(
        0.2, "how far a value may move per update, in units of the reward scale; null: unlimited"
    )
    value_coefficient: float = option(0.5, "weight of the value loss", minimum=0.0)
    entropy_coefficient: float = option(0.0, "weight of the entropy bonus", minimum=0.0)
    final_entropy_coefficient: float | None = option(
        None, "weight at total_timesteps, reached mostly late; null: constant", minimum=0.0
    )
    max_grad_norm: float = option(1.0, "the global gradient norm is clipped to this", above=0.0)
    learning_rate: float = option(1e-3, "Adam's initial learning rate", above=0.0)
    learning_rate_schedule: Literal["adaptive", "constant", "linear", "cosine"] = option(
        "adaptive", "adaptive: follow desired_kl; linear, cosine: fall to 0 at total_timesteps"
    )
    desired_kl: float = option(
        0.02, "KL divergence per update that the adaptive learning rate aims at", above=0.0
    )
    final_desired_kl: float | None = option(
        None, "desired_kl at total_timesteps, reached mostly late; null: constant", above=0.0
    )
    min_learning_rate: float = option(1e-5, "lower bound of the adaptive learning rate", above=0.0)
    max_learning_rate: float = option(1e-2, "upper bound of the adaptive learning rate", above=0.0)
    total_timesteps: int | None = option(
        None, "where schedules end; default: training.total_timesteps", minimum=1, maximum=10**12
    )
    # Normalisation
    normalize_observations: bool = option(True, "observations to zero mean and unit variance")
    normalize_rewards: bool = option(True, "divide rewards by the scale of the discounted return")
    # Networks
    hidden_sizes: tuple[int, ...] = option(
        (128, 128), "units of the policy's hidden layers", minimum=1, maximum=2**14
    )
    critic_hidden_sizes: tuple[int, ...] | None = option(
        None, "units of the critic's hidden layers; null: as the policy's", minimum=1, maximum=2**14
    )
    activation: Literal["elu", "relu", "tanh", "swish"] = option("elu", "between layers")
    image_encoder: ImageEncoder = option(doc="how images are read", factory=ImageEncoder)
    critic_observations: Literal["auto", "policy", "critic", "images"] = option(
        "auto", "what the critic reads; auto: the group critic where the task has one"
    )
    # Exploration
    squash: Literal["clip", "tanh"] = option("clip", "how Gaussian samples are kept within bounds")
    initial_log_std: float = option(-0.7, "log standard deviation of the actions, in [-1, 1] units")
    min_log_std: float = option(-5.0, "its lower bound")
    max_log_std: float = option(1.0, "its upper bound")
    noise_correlation: float = option(
        0.0,
        "correlation of the exploration noise from step to step; 0: white",
        minimum=0.0,
        below=1.0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.min_log_std <= self.initial_log_std <= self.max_log_std:
            raise ValueError(
                f"initial_log_std is {self.initial_log_std}, outside min_log_std "
                f"{self.min_log_std} to max_log_std {self.max_log_std}"
            )
        if self.value_clip_range is not None and self.value_clip_range <= 0:
            raise ValueError(
                f"value_clip_range is {self.value_clip_range}; it must be positive, or null"
            )
        if min((*self.hidden_sizes, *(self.critic_hidden_sizes or ())), default=1) < 1:
            raise ValueError("hidden_sizes and critic_hidden_sizes must be positive")
        if self.image_encoder.augment != Augmentation():
            raise ValueError(
                "image_encoder.augment: PPO compares the policy with the one that acted, which saw "
                "the images as they are; leave it out"
            )
        if self.min_learning_rate > self.max_learning_rate:
            raise ValueError("min_learning_rate is above max_learning_rate")
        if self.learning_rate_schedule != "adaptive" and self.final_desired_kl is not None:
            raise ValueError(
                f"final_desired_kl has no effect with learning_rate_schedule "
                f"{self.learning_rate_schedule}, only with adaptive; set it to null"
            )
        if self.learning_rate_schedule == "adaptive" and self.num_epochs * self.num_minibatches < 2:
            raise ValueError(
                "learning_rate_schedule adaptive measures how far the previous minibatches have "
                "moved the policy, so num_epochs * num_minibatches must be 2 or more"
            )
