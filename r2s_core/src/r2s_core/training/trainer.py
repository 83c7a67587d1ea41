"""`Real2SimTrainer`: training from Python, a thin wrapper around `run` and `evaluate`.

trainer = Real2SimTrainer("configs/quickstart.yaml")
env = trainer.create_environment()
trainer.train(env)
print(trainer.evaluate_model()["success_rate"])
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r2s_core import device, registry
from r2s_core.config import RunConfig, Use, load_config, load_mapping
from r2s_core.config.flat import differing, flat
from r2s_core.config.user_code import require
from r2s_core.env import VectorEnv, build
from r2s_core.env.build import MakeEnvironment
from r2s_core.errors import ConfigError
from r2s_core.evaluation import evaluate
from r2s_core.training.run import run
from r2s_core.types import Environment, HasEvaluation


class Real2SimTrainer:
    """Trains and evaluates as a configuration describes.

    config: a YAML file, a mapping of the same shape, or a loaded `RunConfig`. trust: allow the
    reward functions in files that it names to run; see `r2s_core.system.trust`.
    """

    def __init__(
        self, config: RunConfig | Mapping[str, Any] | str | Path, *, trust: bool = False
    ) -> None:
        """Raises `ConfigError` with one line per problem."""
        self._trust = trust
        if isinstance(config, RunConfig):
            self.config = config
        elif isinstance(config, Mapping):
            self.config = load_mapping(config)
        elif isinstance(config, str | Path):
            self.config = load_config(config)
        else:
            raise ConfigError(
                "config must be the path of a YAML file, a mapping or a RunConfig, not "
                f"{type(config).__name__}"
            )

    @property
    def run_dir(self) -> Path:
        """The folder that `train` writes."""
        return self.config.output

    def create_environment(self) -> Environment[Any]:
        """The training environment, with `environment.num_parallel_envs` worlds."""
        device.announce(device.select_device(self.config.training.use_gpu))
        config = device.resolve_backend(self.config)
        worlds = config.environment.engine.num_parallel_envs
        require(config, self._trust)
        return build.make_environment(config, worlds, training=True)

    def train_ppo(
        self, env: Environment[Any] | None = None, *, resume: bool = False
    ) -> dict[str, Any]:
        """`train` with PPO."""
        return self.train(env, algorithm="ppo", resume=resume)

    def train(
        self,
        env: Environment[Any] | None = None,
        *,
        algorithm: str | None = None,
        resume: bool = False,
    ) -> dict[str, Any]:
        """Train, evaluate and report, as `r2s run` does; returns the content of result.json.

        Args:
          env: the environment to train in; default: that of `create_environment`. An environment
            of the engine has its own configuration, which the run then uses, so that evaluation
            and records match the training; stderr lists the differences.
          algorithm: by plugin name; default: the configured one.
          resume: continue from the last checkpoint, if there is one.
        """
        if env is not None and not hasattr(env, "spec"):
            raise ConfigError(
                f"env is {type(env).__name__}, not an environment; pass the result of "
                "create_environment(), or none"
            )
        config = self.config if algorithm is None else _with_algorithm(self.config, algorithm)
        make_env = None
        if env is not None:
            config, make_env = _with_environment(config, env)
        return run(config, resume=resume, trust=self._trust, make_env=make_env)

    def evaluate_model(
        self, path: str | Path | None = None, *, episodes: int | None = None
    ) -> Mapping[str, Any]:
        """Evaluate a policy on fresh episodes: `success_rate`, `success_ci95`, `episodes`, ...

        path: a run's folder or the `policy/` in it; default: this trainer's own run. A policy
        without a run's folder is evaluated in the environment of this trainer's configuration.
        """
        path = Path(path) if path is not None else self.run_dir
        if evaluate.config_of(path) is None:
            return evaluate.evaluate_policy(self.config, path, episodes)
        return evaluate.evaluate_run(path, episodes)


def _with_algorithm(config: RunConfig, name: str) -> RunConfig:
    algorithms = dict(config.algorithms)
    if name not in algorithms:
        algorithms[name] = Use(name, registry.get("algorithm", name).default_options())
    return dataclasses.replace(config, algorithm=name, algorithms=algorithms)


def _with_environment(
    config: RunConfig, env: Environment[Any]
) -> tuple[RunConfig, MakeEnvironment]:
    """The configuration of a run in `env`, and the builder of the run's environments."""
    source = env.origin.config if isinstance(env, VectorEnv) and env.origin else None
    configured = config
    if source is not None:
        config = dataclasses.replace(
            config,
            environment=source.environment,
            randomization=source.randomization,
            curriculum=source.curriculum,
            demonstrations=source.demonstrations,
            backend=source.backend,
        )
    worlds = dataclasses.replace(config.environment.engine, num_parallel_envs=env.spec.num_worlds)
    config = dataclasses.replace(
        config, environment=dataclasses.replace(config.environment, engine=worlds)
    )
    device.announce(_replaced(device.resolve_backend(configured), config))

    def make_env(config: RunConfig, num_worlds: int, training: bool) -> Environment[Any]:
        if training or not isinstance(env, HasEvaluation):  # evaluated in the same environment
            return env
        return env.for_evaluation(num_worlds)

    return config, make_env


def _replaced(configured: RunConfig, used: RunConfig) -> list[str]:
    """Lines for the user: the environment's options that differ from the configuration's."""
    before, after = flat(configured.resolved()), flat(used.resolved())
    keys = differing(before, after)
    if not keys:
        return []
    lines = [f"  {key}: {after.get(key)} (configured: {before.get(key)})" for key in keys]
    head = (
        "Training uses the environment that was passed in, with its own options instead of the "
        "configuration's (create_environment() makes one with those):"
    )
    return [head, *lines]
