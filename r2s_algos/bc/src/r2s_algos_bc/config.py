"""The options of behaviour cloning and DAgger; imports nothing heavy."""

from __future__ import annotations

import dataclasses
from typing import Literal

from r2s_algos_common.encoders.config import ImageEncoder
from r2s_core.plugin import option


@dataclasses.dataclass(frozen=True)
class BCConfig:
    """Options of learning from an expert; the defaults suit pick-and-place."""

    # Collecting
    num_steps: int = option(
        16, "control steps per world between updates", minimum=1, maximum=10_000
    )
    expert_share: float = option(
        1.0,
        "share of the worlds in which the expert acts at first; in the others the policy does",
        minimum=0.0,
        maximum=1.0,
    )
    final_expert_share: float = option(
        0.0, "the same from expert_until on; 1: behaviour cloning", minimum=0.0, maximum=1.0
    )
    expert_until: float = option(
        0.2,
        "share of total_timesteps over which expert_share changes linearly to final_expert_share",
        minimum=0.0,
        maximum=1.0,
    )
    noise_std: float = option(
        0.3,
        "standard deviation of the noise on actions in noisy worlds, in [-1, 1] units",
        minimum=0.0,
        maximum=10.0,
    )
    noisy_share: float = option(
        0.5, "share of the worlds with noise on whatever acts", minimum=0.0, maximum=1.0
    )
    buffer_size: int | None = option(
        None,
        "labelled samples kept, rounded up to whole updates; null: total_timesteps, at most "
        "1,048,576",
        minimum=1,
        maximum=10**9,
    )
    checkpoint_buffer: bool = option(
        True, "save these samples too, so that --resume is exact; otherwise they are collected anew"
    )
    # Learning
    num_batches: int = option(40, "gradient steps per update", minimum=1, maximum=100_000)
    batch_size: int = option(2048, "samples per gradient step", minimum=1, maximum=2**20)
    loss: Literal["squared", "likelihood"] = option(
        "squared", "squared error, or the negative log-likelihood under a squashed Gaussian"
    )
    decisive_actions: Literal["auto", "none"] | tuple[str, ...] = option(
        "auto",
        "actions of which only the sign is learned, with a hinge loss; auto: those that the expert "
        "has so far only set to a bound, as a gripper's",
    )
    decisive_weight: float = option(0.3, "weight of their loss", minimum=0.0)
    auxiliary: tuple[str, ...] = option(
        (),
        "numbers of the observation group critic, by name, that the network learns to predict "
        "besides, such as object_position_x; the policy's file is without",
    )
    auxiliary_weight: float = option(
        10.0, "weight of the squared error of these predictions, in SI units", minimum=0.0
    )
    learning_rate: float = option(2e-3, "Adam's initial learning rate", above=0.0)
    learning_rate_schedule: Literal["constant", "linear", "cosine"] = option(
        "linear", "linear, cosine: fall to 0 at total_timesteps"
    )
    learning_rate_decay_from: float = option(
        0.5,
        "share of total_timesteps after which the learning rate falls",
        minimum=0.0,
        below=1.0,
    )
    max_grad_norm: float = option(1.0, "the global gradient norm is clipped to this", above=0.0)
    total_timesteps: int | None = option(
        None, "where schedules end; default: training.total_timesteps", minimum=1, maximum=10**12
    )
    # Network
    squash: Literal["clip", "tanh"] = option("clip", "how raw actions are kept within bounds")
    normalize_observations: bool = option(True, "observations to zero mean and unit variance")
    hidden_sizes: tuple[int, ...] = option(
        (128, 128), "units of the policy's hidden layers", minimum=1, maximum=2**14
    )
    activation: Literal["elu", "relu", "tanh", "swish"] = option("elu", "between layers")
    image_encoder: ImageEncoder = option(doc="how images are read", factory=ImageEncoder)

    def __post_init__(self) -> None:
        if min(self.hidden_sizes, default=1) < 1:
            raise ValueError("hidden_sizes must be positive")
