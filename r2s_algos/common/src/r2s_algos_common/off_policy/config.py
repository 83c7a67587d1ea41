"""The options that every off-policy algorithm has; imports nothing heavy."""

from __future__ import annotations

import dataclasses
from typing import Literal

from r2s_algos_common.demonstrations.config import DemonstrationOptions
from r2s_algos_common.encoders.config import ImageEncoder
from r2s_core.errors import ConfigError
from r2s_core.plugin import option


@dataclasses.dataclass(frozen=True)
class OffPolicyConfig(DemonstrationOptions):
    """Options of learning from a replay buffer, with defaults for pick-and-place.

    Null options are derived from the number of worlds; see each option, and `sizes`.
    """

    demonstration_share: float = option(
        0.0,
        "share of each batch that is drawn from the demonstrations (RLPD: 0.5)",
        minimum=0.0,
        below=1.0,
    )
    # Collecting
    num_steps: int | None = option(
        None,
        "control steps per world between updates; null: 2,048 / worlds, 1 to 32",
        minimum=1,
        maximum=10_000,
    )
    discount: float = option(0.95, "discount per control step", minimum=0.0, below=1.0)
    noise_correlation: float = option(
        0.0,
        "correlation of the exploration noise from step to step; 0: white",
        minimum=0.0,
        below=1.0,
    )
    random_steps: int = option(
        0,
        "transitions collected with actions drawn uniformly, before the policy acts",
        minimum=0,
        maximum=10**9,
    )
    # Replay
    buffer_size: int | None = option(
        None,
        "transitions kept; null: 2,048 per world, 262,144 to 4,194,304",
        minimum=1,
        maximum=10**9,
    )
    learning_starts: int | None = option(
        None,
        "transitions collected before learning starts; null: 32 per world",
        minimum=1,
        maximum=10**9,
    )
    n_step: int = option(
        3, "number of rewards summed before bootstrapping", minimum=1, maximum=1000
    )
    checkpoint_buffer: bool = option(
        True, "save the buffer too, so that --resume is exact; otherwise it is filled again"
    )
    # Learning
    update_to_data_ratio: float = option(
        16.0,
        "average number of times that a collected sample is learned from",
        above=0.0,
        maximum=10_000,
    )
    batch_size: int | None = option(
        None,
        "samples per gradient step; null: 1 per world, 256 to 8,192",
        minimum=1,
        maximum=2**20,
    )
    learning_rate: float = option(1e-3, "Adam's initial learning rate", above=0.0)
    final_learning_rate: float | None = option(
        None, "learning rate at total_timesteps, reached linearly; null: constant", minimum=0.0
    )
    total_timesteps: int | None = option(
        None, "where schedules end; default: training.total_timesteps", minimum=1, maximum=10**12
    )
    max_grad_norm: float = option(10.0, "the global gradient norm is clipped to this", above=0.0)
    adam_epsilon: float = option(
        1e-5, "Adam's epsilon: gradients far below it move little", above=0.0
    )
    target_update_rate: float = option(
        0.01, "how far target networks move per gradient step", above=0.0, maximum=1.0
    )
    policy_delay: int = option(
        2, "gradient steps of the critics per step of the policy", minimum=1, maximum=1000
    )
    # Normalisation
    normalize_observations: bool = option(True, "observations to zero mean and unit variance")
    normalize_rewards: bool = option(True, "divide rewards by the scale of the discounted return")
    # Networks
    hidden_sizes: tuple[int, ...] = option(
        (128, 128), "units of the policy's hidden layers", minimum=1, maximum=2**14
    )
    critic_hidden_sizes: tuple[int, ...] | None = option(
        None, "units of the critics' hidden layers; null: as the policy's", minimum=1, maximum=2**14
    )
    activation: Literal["elu", "relu", "tanh", "swish"] = option("elu", "between layers")
    layer_norm: bool = option(True, "normalise the critics' hidden layers (Ba et al. 2016)")
    image_encoder: ImageEncoder = option(doc="how images are read", factory=ImageEncoder)
    critic_observations: Literal["auto", "policy", "critic", "images"] = option(
        "auto",
        "what the critics read: a group of numbers, or images: all that the policy reads; auto: "
        "the group critic where the task has one, else as images",
    )
    num_atoms: int | None = option(
        None,
        "atoms of a categorical critic (Bellemare et al. 2017); null: a scalar critic",
        minimum=2,
        maximum=10_000,
    )
    value_range: tuple[float, float] = option(
        (-5.0, 5.0),
        "the atoms' range, in units of the reward scale; the metric value_range_ends is the share "
        "of returns at or beyond its ends",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if min((*self.hidden_sizes, *(self.critic_hidden_sizes or ())), default=1) < 1:
            raise ValueError("hidden_sizes and critic_hidden_sizes must be positive")
        if self.num_atoms is not None and self.num_atoms < 2:
            raise ValueError(f"num_atoms is {self.num_atoms}; a distribution needs 2 or more")
        if self.value_range[0] >= self.value_range[1]:
            raise ValueError(f"value_range is {list(self.value_range)}; it must be [low, high]")

    def demonstration_users(self) -> tuple[str, ...]:
        """The options that are on and read demonstrations."""
        users = super().demonstration_users()
        return (*users, "demonstration_share") if self.demonstration_share else users


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes that follow from the options and the number of worlds.

    rows: control steps of all worlds that the buffer holds; a multiple of num_steps.
    """

    num_steps: int
    rows: int
    learning_starts: int
    batch_size: int
    demonstrated: int  # samples of each batch that are drawn from the demonstrations
    gradient_steps: int  # of the critics, per update; a multiple of policy_delay


def sizes(config: OffPolicyConfig, num_worlds: int, name: str) -> Sizes:
    """Apply the rules of the options that are null; `name` is the algorithm's, for messages.

    Raises ConfigError where the options do not fit each other.
    """
    num_steps = config.num_steps or _between(2048 // num_worlds, 1, 32)
    buffer_size = config.buffer_size or _between(2048 * num_worlds, 2**18, 2**22)
    chunks = -(-buffer_size // (num_worlds * num_steps))
    rows = max(chunks, 1) * num_steps
    batch_size = config.batch_size or _between(num_worlds, 256, 8192)
    learning_starts = config.learning_starts or 32 * num_worlds
    samples = config.update_to_data_ratio * num_steps * num_worlds
    gradient_steps = round(samples / batch_size / config.policy_delay) * config.policy_delay
    if gradient_steps < 1:
        raise ConfigError(
            f"algorithms.{name}: update_to_data_ratio {config.update_to_data_ratio:g} x "
            f"{num_steps} steps x {num_worlds} worlds = {samples:g} samples an update, which is "
            f"too few for {config.policy_delay} gradient steps (policy_delay) of batch_size "
            f"{batch_size}; raise num_steps or lower batch_size"
        )
    if rows < config.n_step or rows * num_worlds < learning_starts:
        raise ConfigError(
            f"algorithms.{name}: a buffer of {rows * num_worlds:,} transitions ({rows} steps of "
            f"{num_worlds} worlds) is too small for n_step ({config.n_step}) or learning_starts "
            f"({learning_starts:,}); raise buffer_size"
        )
    demonstrated = round(config.demonstration_share * batch_size)
    if config.demonstration_share and not 0 < demonstrated < batch_size:
        raise ConfigError(
            f"algorithms.{name}.demonstration_share: {config.demonstration_share:g} of batch_size "
            f"{batch_size} leaves no sample to the demonstrations, or none to the rest"
        )
    return Sizes(num_steps, rows, learning_starts, batch_size, demonstrated, gradient_steps)


def _between(x: int, low: int, high: int) -> int:
    return min(max(x, low), high)
