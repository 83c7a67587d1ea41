"""One call from a configuration's name to an environment of NumPy arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from r2s_core import device, registry
from r2s_core.config import RunConfig, load_config, load_mapping
from r2s_core.config.nodes import Override, key_of
from r2s_core.config.samples import sample_configs
from r2s_core.env.build import make_environment
from r2s_core.errors import ConfigError
from r2s_core.numpy_env.env import NumpyEnv
from r2s_core.suggest import did_you_mean
from r2s_core.system.run_files import CONFIG
from r2s_core.types import Environment

#: What `make` builds an environment from.
Source = str | os.PathLike[str] | Mapping[str, Any] | RunConfig | Environment[Any]


def make(
    config: Source,
    num_envs: int = 1,
    *,
    training: bool = False,
    trust: bool = False,
    backend: str | Mapping[str, Any] | None = None,
    randomization: Mapping[str, Any] | None = None,
    curriculum: Mapping[str, Any] | None = None,
    overrides: Iterable[str] = (),
    obs_groups: bool | None = None,
    render_mode: str | None = None,
    width: int = 480,
    height: int = 360,
    camera: str | None = None,
    **options: Any,
) -> NumpyEnv:
    """An environment of `num_envs` worlds, with rewards and a NumPy interface.

    Args:
      config: a YAML file, the folder of a run, the name of a sample configuration, or that of an
        installed environment; or a mapping of the YAML's shape, a `RunConfig`, or an existing
        environment.
      training: False: episodes of evaluation, held-out objects included. True: episodes of
        training, with the start-state bank and the curriculum, and with the first episodes
        truncated at random so that not all worlds end at once.
      trust: allow the reward functions in files that the configuration names to run.
      backend, randomization, curriculum: replace the configuration's sections.
      overrides: `key=value` texts, as on the command line.
      obs_groups, render_mode, width, height, camera: see `NumpyEnv`.
      options: any key of the YAML's `environment` section: objects=["scan.stl"],
        action_space="ee_delta", rewards={...}.

    Raises:
      ConfigError: `config` names nothing, or an option is unknown or out of range.
      R2SError: a plugin, an object or the backend cannot be used, or the reward functions in files
        are not trusted.
    """
    changes: list[Override] = [*overrides]
    if isinstance(overrides, str) or not all(isinstance(each, str | tuple) for each in changes):
        raise ConfigError('overrides is a list of "key=value" texts, as in ["seed=3"]')
    given = {"backend": backend, "randomization": randomization, "curriculum": curriculum}
    changes += [(key, value) for key, value in given.items() if value is not None]
    changes += [(f"environment.{key}", value) for key, value in options.items()]
    env = _environment(config, num_envs, changes, training=training, trust=trust)
    return NumpyEnv(
        env,
        obs_groups=obs_groups,
        render_mode=render_mode,
        width=width,
        height=height,
        camera=camera,
    )


def load_source(source: Source, overrides: Iterable[Override] = ()) -> RunConfig:
    """The configuration that `make` builds an environment from; raises the same errors."""
    if isinstance(source, RunConfig):
        return load_mapping(source.resolved(), overrides, to_train=False)
    if isinstance(source, Mapping):
        return load_mapping(source, overrides, to_train=False)
    if not isinstance(source, str | os.PathLike):
        raise ConfigError(
            "config must be a path, a name, a mapping, a RunConfig or an environment, not "
            f"{type(source).__name__}"
        )
    name, path = os.fspath(source), Path(source)
    try:
        path.exists()
    except OSError as error:  # the name is too long, or a folder on the way forbids it
        raise ConfigError(f"{name[:80]}: {error.strerror}") from error
    if path.is_dir() and (path / CONFIG).is_file():
        return load_config(path / CONFIG, overrides, to_train=False)
    if not path.is_file() and path.name == name and not path.suffix:
        environments = [entry.name for entry in registry.discover("environment")]
        if name in environments:
            return load_mapping({"environment": {"use": name}}, overrides, to_train=False)
        _refuse_unknown(name, environments)
    return load_config(path, overrides, to_train=False)


def _refuse_unknown(name: str, environments: list[str]) -> None:
    samples = sample_configs()
    if name in samples or Path(f"{name}.yaml").is_file() or Path(name).exists():
        return
    raise ConfigError(
        f"{name}: no such file, run, sample configuration or environment"
        f"{did_you_mean(name, [*samples, *environments])}; there are the samples "
        f"{', '.join(samples) or 'none'} and the environments {', '.join(environments) or 'none'}"
    )


def _environment(
    source: Source, num_envs: int, changes: list[Override], *, training: bool, trust: bool
) -> Environment[Any]:
    if hasattr(source, "spec") and hasattr(source, "step"):
        env: Any = source
        if changes:
            raise ConfigError("an existing environment takes no further options")
    else:
        name = "environment.num_parallel_envs"
        if any(key_of(change) == name for change in changes):
            raise ConfigError("num_parallel_envs is make's num_envs; give that alone")
        worlds: list[Override] = [(name, num_envs)]
        config = load_source(source, [*changes, *worlds])  # type: ignore[arg-type]
        device.announce(device.select_device(config.training.use_gpu))
        config = device.resolve_backend(config)
        env = make_environment(config, training=training, rewarded=True, trust=trust)
    if env.spec.num_worlds != num_envs:
        raise ConfigError(f"the environment has {env.spec.num_worlds} worlds, not {num_envs}")
    return env
