"""The environment from Python, in one call."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from r2s_core.config import load_mapping
from r2s_core.env.build import make_environment
from r2s_core.types import Environment


def Real2SimPickAndPlace(
    num_parallel_envs: int = 256,
    max_episode_steps: int | None = None,
    reconstructed_objects_dir: str | os.PathLike[str] | None = None,
    *,
    backend: str = "auto",
    training: bool = True,
    **options: Any,
) -> Environment[Any]:
    """The pick-and-place environment, as `r2s run` builds it.

    Args:
      num_parallel_envs: worlds stepped side by side.
      max_episode_steps: control steps per episode; default: the task's.
      reconstructed_objects_dir: a folder with a scanned object; default: a sample scan.
      backend: "auto", "mujoco", "mjx" or "warp".
      training: False starts all episodes from the task's own distribution, at the same time.
      options: any other key of the YAML's `environment` section, e.g. action_space="ee_delta".

    Returns:
      A `r2s_core.env.VectorEnv`: `state, obs = env.reset(key)`, `state, step = env.step(state,
      action)`.

    Raises:
      ConfigError: an option is unknown or out of range.
      AssetError: the object is refused.
    """
    environment: dict[str, Any] = {"num_parallel_envs": num_parallel_envs, **options}
    if max_episode_steps is not None:
        environment["max_episode_steps"] = max_episode_steps
    if reconstructed_objects_dir is not None:
        environment["reconstructed_objects_dir"] = str(Path(reconstructed_objects_dir))
    config = load_mapping({"backend": backend, "environment": environment})
    return make_environment(config, training=training)
