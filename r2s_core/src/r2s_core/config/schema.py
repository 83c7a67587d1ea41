"""The configuration of a run: the sections of the YAML file as frozen dataclasses.

`load_config` makes them; options of plugins are instances of the plugins' own dataclasses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from r2s_core.plugin import option

#: The limit of `seed` and of `evaluation.seed_offset`, whose sum must fit JAX's 32-bit keys.
LARGEST_SEED = 2**31 - 1
#: The source of demonstrations that is the task's own expert.
SCRIPT = "script"


@dataclasses.dataclass(frozen=True)
class Use:
    """A plugin by name, with its options.

    use: the plugin's name, `dist:name`, or for rewards `/abs/file.py:function`.
    options: an instance of the plugin's configuration dataclass. A plain dict only for an
        algorithm that is neither installed nor chosen; None for `backend: auto`.
    """

    use: str
    options: Any


@dataclasses.dataclass(frozen=True)
class RewardTerm:
    """One weighted term of the reward; the fields `use` and `options` as in `Use`."""

    use: str
    options: Any
    weight: float = option(1.0, "what the term is multiplied by before the terms are summed")


@dataclasses.dataclass(frozen=True)
class PhysicsConfig:
    """Overrides of the task's physics, for sensitivity studies."""

    timestep_factor: float = option(
        1.0,
        "physics timestep, as a share of the task's: 1, 1/2, 1/3, ...",
        minimum=0.01,
        maximum=1.0,
    )
    integrator: Literal["Euler", "RK4", "implicit", "implicitfast"] | None = option(
        None, "MuJoCo's integrator; default: the task's"
    )
    cone: Literal["pyramidal", "elliptic"] | None = option(
        None, "friction cones; default: the task's"
    )

    def __post_init__(self) -> None:
        parts = 1.0 / self.timestep_factor
        if abs(parts - round(parts)) > 1e-6:
            raise ValueError(f"timestep_factor is {self.timestep_factor}; use 1, 0.5, 0.25, ...")


@dataclasses.dataclass(frozen=True)
class EngineConfig:
    """How the engine runs a task; these keys are next to the task's own under `environment`."""

    num_parallel_envs: int = option(
        256, "worlds stepped in parallel in training", minimum=1, maximum=2**20
    )
    max_episode_steps: int | None = option(
        None,
        "control steps after which an episode is truncated; default: the task's",
        minimum=1,
        maximum=10**6,
    )
    rewards: Mapping[str, RewardTerm] | None = option(
        None, "the reward's terms by name; default: the task's"
    )
    start_state_share: float | None = option(
        None,
        "share of training episodes that start from the start-state bank; default: the task's",
        minimum=0.0,
        maximum=1.0,
    )
    start_state_until: float | None = option(
        None,
        "share of training.total_timesteps over which start_state_share falls linearly to 0; "
        "null: it stays constant",
        above=0.0,
        maximum=1.0,
    )
    action_history: int = option(
        0,
        "number of past (commanded) actions in the observation; useful where actions are delayed",
        minimum=0,
        maximum=100,
    )
    action_chunk: int = option(
        1,
        "control steps that the policy plans at once; they are executed one after the other, then "
        "it is asked again; for algorithms that only imitate recorded demonstrations",
        minimum=1,
        maximum=1000,
    )
    physics: PhysicsConfig = option(
        PhysicsConfig(), "overrides of the task's physics, for sensitivity studies"
    )
    vision_enabled: bool | None = option(
        None, "whether the policy sees images; default: where there are `cameras`"
    )
    cameras: Mapping[str, Use] = option(
        factory=dict, doc="the policy's cameras by name; default with vision: the task's"
    )
    camera_resolution: tuple[int, int] | None = option(
        None,
        "[width, height] in pixels of cameras without a `size`; default: the task's, or 64 x 64",
        minimum=1,
        maximum=1024,
    )
    observation_type: Literal["rgb_and_state", "rgb", "state"] | None = option(
        None,
        "what the policy reads: rgb_and_state: images and what a robot feels (joints, gripper, "
        "goal); rgb: images alone; state: numbers alone; default: rgb_and_state with vision",
    )
    visual_period: int | None = option(
        None,
        "control steps after which visual randomizers draw anew, in training; a policy without a "
        "memory then learns from many more looks than episodes; default: once an episode",
        minimum=1,
        maximum=10_000,
    )
    renderer: Use = option(Use("auto", None), "what draws the images; auto: the fastest here")

    def __post_init__(self) -> None:
        kind = self.observation_type
        if self.vision_enabled is False and kind in ("rgb_and_state", "rgb"):
            raise ValueError(
                f"vision_enabled is false and observation_type {kind}; drop one of the two"
            )
        if self.vision_enabled and kind == "state":
            raise ValueError(
                "vision_enabled is true and observation_type state; drop one of the two"
            )

    @property
    def vision(self) -> Literal["rgb_and_state", "rgb"] | None:
        """What a policy that sees reads; None: it reads numbers alone."""
        if self.vision_enabled is False or self.observation_type == "state":
            return None
        if self.observation_type is not None:
            return self.observation_type
        return "rgb_and_state" if self.vision_enabled or self.cameras else None


@dataclasses.dataclass(frozen=True)
class GrowthConfig:
    """How a level of the curriculum rises from `start` to 1: by `over` or by `at_success`."""

    start: float = option(0.0, "the initial level", minimum=0.0, maximum=1.0)
    over: float | None = option(
        None,
        "share of training.total_timesteps over which it rises linearly",
        above=0.0,
        maximum=1.0,
    )
    at_success: float | None = option(
        None,
        "success rate of recent training episodes from which on it rises; it falls while the rate "
        "is more than 0.1 lower",
        above=0.0,
        maximum=1.0,
    )
    episodes: int = option(
        10_000,
        "with at_success: episodes, over all worlds, that the way from start to 1 takes",
        minimum=1,
        maximum=10**9,
    )

    def __post_init__(self) -> None:
        if (self.over is None) == (self.at_success is None):
            raise ValueError("give either over or at_success")


@dataclasses.dataclass(frozen=True)
class EnvironmentConfig:
    """The environment plugin, its own options, and the engine's."""

    use: str
    options: Any
    engine: EngineConfig


@dataclasses.dataclass(frozen=True)
class DemonstrationsConfig:
    """Whom a policy learns from: an expert that is asked in every state, or recorded episodes.

    source: "script", or the absolute path of a run's folder, of a data set, or of what a run has
        kept of either.
    """

    source: str | Path | None = option(
        None,
        "script: the task's scripted expert; runs/x: a trained run's policy; path/to/dataset: a "
        "data set",
    )
    episodes: int | None = option(
        None,
        "learn from this many recorded episodes; null: from all of a data set; a script or run is "
        "asked in every state instead",
        minimum=1,
        maximum=10**6,
    )
    successful_only: bool = option(True, "leave out recorded episodes that failed")
    noise_std: float = option(
        0.0,
        "standard deviation of the noise on executed actions while a script or run is recorded, in "
        "[-1, 1] units (DART); labels are without it",
        minimum=0.0,
        maximum=10.0,
    )
    features: Mapping[str, str | tuple[str, ...]] = option(
        factory=dict,
        doc="what a data set calls our groups, e.g. {policy: observation.state, action: action}; "
        "several are joined in order",
    )

    def __post_init__(self) -> None:
        if isinstance(self.source, str) and self.source != SCRIPT:
            raise ValueError(
                f"source is '{self.source}'; it is {SCRIPT}, or the folder of a run or a data set, "
                f"written with a slash, as ./{self.source}"
            )
        if self.source == SCRIPT and self.features:
            raise ValueError("features are of a data set, and source is script")
        if self.source == SCRIPT and self.noise_std and self.episodes is None:
            raise ValueError(
                "noise_std is for recorded episodes, so it needs episodes; for an expert that is "
                "asked in every state, the algorithm has an option of that name"
            )


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How long to train, on what, and when to save."""

    total_timesteps: int = option(
        1_000_000, "environment steps over all worlds; 0 only evaluates", minimum=0, maximum=10**12
    )
    use_gpu: bool | None = option(None, "true or false; default: a GPU where there is one")
    time_limit_s: float | None = option(None, "stop after this many seconds of training", above=0)
    stop_at_success: float | None = option(
        None,
        "stop once the success rate of training episodes stays at or above this",
        above=0.0,
        maximum=1.0,
    )
    checkpoint_interval_s: float = option(60.0, "seconds between checkpoints", minimum=0)
    keep_checkpoints: int = option(
        2, "the latest checkpoints to keep; older ones are deleted", minimum=1, maximum=10_000
    )


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """How the trained policy is evaluated: deterministic, on episodes never trained on."""

    episodes: int = option(
        1024, "fresh episodes after training; 0 skips the evaluation", minimum=0, maximum=10**7
    )
    num_parallel_envs: int = option(
        256, "worlds stepped in parallel in evaluation", minimum=1, maximum=2**20
    )
    stochastic_episodes: int = option(
        0,
        "as many fresh episodes of the policy as it explores in training, beside the deterministic "
        "one, at a run's end; 0: none",
        minimum=0,
        maximum=10**7,
    )
    seed_offset: int = option(
        1_000_000, "added to the run's seed for the evaluation", minimum=1, maximum=LARGEST_SEED
    )
    video: bool = option(True, "render a video and the report's frames where GL is available")
    curve_points: int = option(
        0,
        "evaluations of the deterministic policy spread evenly over training.total_timesteps, "
        "not counted as training time, for the column eval/success of the metrics; 0: none",
        minimum=0,
        maximum=10_000,
    )
    curve_episodes: int = option(
        256, "fresh episodes in each of these evaluations", minimum=1, maximum=10**6
    )


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """A whole run, checked and complete with defaults.

    algorithms: by name as written; `config.algorithm` names the one that trains.
    output: the run's folder, absolute; in the YAML it is relative to the working directory, while
        every other path there is relative to the file.
    curriculum: by what grows: "task", "rewards.NAME" or "randomization.NAME".
    base_dir: the folder of the YAML file. Paths in the configuration are absolute already.
    """

    name: str
    seed: int
    algorithm: str
    backend: Use
    environment: EnvironmentConfig
    randomization: Mapping[str, Use]
    curriculum: Mapping[str, GrowthConfig]
    demonstrations: DemonstrationsConfig
    training: TrainingConfig
    evaluation: EvaluationConfig
    algorithms: Mapping[str, Use]
    hooks: Mapping[str, Use]
    output: Path
    base_dir: Path = dataclasses.field(compare=False)

    @property
    def chosen_algorithm(self) -> Use:
        """The algorithm that trains, with its options."""
        return self.algorithms[self.algorithm]

    def resolved(self) -> dict[str, Any]:
        """The complete configuration as plain values; loading them gives an equal one."""
        engine, terms = self.environment.engine, self.environment.engine.rewards
        rewards = None if terms is None else {name: _term(term) for name, term in terms.items()}
        return {
            "name": self.name,
            "seed": self.seed,
            "algorithm": self.algorithm,
            "backend": _chosen(self.backend),
            "environment": {
                "use": self.environment.use,
                **to_plain(dataclasses.replace(engine, rewards=None, cameras={}, renderer=None)),
                **to_plain(self.environment.options),
                "rewards": rewards,
                "cameras": {name: _use(use) for name, use in engine.cameras.items()},
                "renderer": _chosen(engine.renderer),
            },
            "randomization": {name: _use(use) for name, use in self.randomization.items()},
            "curriculum": _nested(self.curriculum),
            "demonstrations": to_plain(self.demonstrations),
            "training": to_plain(self.training),
            "evaluation": to_plain(self.evaluation),
            "algorithms": {name: _use(use) for name, use in self.algorithms.items()},
            "hooks": {name: _use(use) for name, use in self.hooks.items()},
            "output": str(self.output),
        }


def to_plain(value: Any) -> Any:
    """Dataclasses, tuples and paths as dicts, lists and text that YAML and JSON can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: to_plain(getattr(value, field.name)) for field in fields if field.init}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _nested(growths: Mapping[str, GrowthConfig]) -> dict[str, Any]:
    """By section, as in the YAML."""
    tree: dict[str, Any] = {}
    for name, growth in growths.items():
        section, _, label = name.partition(".")
        if label:
            tree.setdefault(section, {})[label] = to_plain(growth)
        else:
            tree[section] = to_plain(growth)
    return tree


def _chosen(use: Use) -> Any:
    """A plugin that may be chosen automatically, without options then."""
    return use.use if use.options is None else _use(use)


def _use(use: Use) -> dict[str, Any]:
    return {"use": use.use, **to_plain(use.options)}


def _term(term: RewardTerm) -> dict[str, Any]:
    return {"use": term.use, "weight": term.weight, **to_plain(term.options)}
