"""A whole little world for testing runs: an environment, a learner, and a script to run them.

Installed as a fake package by the `tiny` fixture (test_run.py), and run in a process of its own
by the tests that send signals.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import sys
import time
from pathlib import Path
from typing import Any

from r2s_core.plugin import Plugin, option


@dataclasses.dataclass(frozen=True)
class TouchConfig:
    """Options of the environment."""

    objects: tuple[str, ...] = option(("dot",), "what is touched")


@dataclasses.dataclass(frozen=True)
class ClimbConfig:
    """Options of the learner."""

    sigma: float = option(0.3, "how far it looks around", above=0.0)
    sleep_s: float = option(0.0, "seconds that an update dawdles", minimum=0.0)
    poison_at: int = option(-1, "the update that fails")
    total_timesteps: int | None = option(None, "filled in from training")


ENVIRONMENT = Plugin("touch", "environment", "Touch a dot", "tiny_plugin:no_task", TouchConfig)
ALGORITHM = Plugin("climb", "algorithm", "Random search", "tiny_plugin:Climb", ClimbConfig)


def touch(num_worlds: int, host_driven: bool = True) -> Any:
    """One-step episodes: put the action on the observed dot; success within 0.2."""
    return copy.copy(_touch(num_worlds, host_driven))


@functools.cache
def _touch(num_worlds: int, host_driven: bool) -> Any:
    """Made once, so that what it has compiled serves every environment of a test."""
    import jax
    import jax.numpy as jnp

    from r2s_core.policy_export import ArraySpec
    from r2s_core.task_info import TaskInfo
    from r2s_core.testing.environments import HostDriven, bandit

    class Judged:
        def __init__(self) -> None:
            self.inner = bandit(num_worlds)
            self.spec = dataclasses.replace(
                self.inner.spec,
                observations={"policy": ArraySpec((1,), names=("dot",))},
                control_dt=0.05,
                task=TaskInfo(
                    success="the action is within 0.2 of the dot",
                    stages=("near", "close"),
                    headline={"touched": "within 0.1"},
                ),
            )

        def reset(self, key: jax.Array) -> Any:
            return self.inner.reset(key)

        def step(self, state: Any, action: jax.Array) -> Any:
            state, step = self.inner.step(state, action)
            distance = jnp.sqrt(-step.reward)
            metrics = {
                "touched": distance < 0.1,
                "near": distance < 0.4,
                "close": distance < 0.3,
                "distance": distance,
            }
            return state, dataclasses.replace(
                step,
                success=distance < 0.2,
                metrics={k: v.astype(jnp.float32) for k, v in metrics.items()},
            )

    env: Any = Judged()
    return HostDriven(env) if host_driven else env


class Climb:
    """Random search: keeps a changed policy if it earns more on the same episodes."""

    def __init__(self, env: Any, config: ClimbConfig) -> None:
        assert config.total_timesteps is not None
        self.env, self.config, self.steps_per_update = env, config, env.spec.num_worlds
        self.updates = 0

    def init(self, key: Any) -> Any:
        import jax
        import numpy as np

        weight_key, env_key, key = jax.random.split(key, 3)
        state, obs = self.env.reset(env_key)
        # A linear policy: the answer is a weight of 1.
        params = {"kernel": jax.random.normal(weight_key, (1, 1)), "bias": jax.numpy.zeros(1)}
        # numpy leaves, as a host-driven backend has them, and a typed key
        return {
            "params": params,
            "best": np.float64(-np.inf),
            "env": state,
            "obs": obs,
            "key": key,
        }

    def update(self, learner: Any) -> Any:
        import jax
        import jax.numpy as jnp
        import numpy as np

        from r2s_core.errors import TrainingDiverged

        self.updates += 1
        if self.updates == self.config.poison_at:
            raise TrainingDiverged("training diverged: made to")
        time.sleep(self.config.sleep_s)
        key, noise_key = jax.random.split(learner["key"])
        leaves, tree = jax.tree.flatten(learner["params"])
        keys = jax.random.split(noise_key, len(leaves))
        changed = [
            x + self.config.sigma * jax.random.normal(k, x.shape)
            for x, k in zip(leaves, keys, strict=True)
        ]
        trial: Any = tree.unflatten(changed)
        action = jnp.clip(learner["obs"]["policy"] @ trial["kernel"] + trial["bias"], -1, 1)
        env_state, step = self.env.step(learner["env"], action)
        mean = np.float64(np.mean(np.asarray(step.reward)))
        better = mean > learner["best"]
        new = {
            "params": trial if better else learner["params"],
            "best": np.maximum(mean, learner["best"]),
            "env": env_state,
            "obs": step.obs,
            "key": key,
        }
        return new, {
            "episode/count": jnp.float32(step.done.sum()),
            "episode/success": step.success.mean(),
            "episode/return": jnp.float32(mean),
            "env/diverged": jnp.float32(1.0),
        }

    def policy(self, learner: Any, deterministic: bool) -> Any:
        raise AssertionError("a run judges the exported policy")

    def export(self, learner: Any) -> Any:
        import numpy as np

        from r2s_core.types import PolicyExport

        params = learner["params"]
        layers = ((np.asarray(params["kernel"]), np.asarray(params["bias"])),)
        return PolicyExport.mlp(layers, "relu", np.zeros(1), np.ones(1), 10.0, "clip")


def make_env(config: Any, num_worlds: int, training: bool) -> Any:
    """What `run(make_env=...)` takes."""
    return touch(num_worlds)


def main(config_path: str, *arguments: str) -> None:
    """`python tiny_plugin.py CONFIG [--resume]`, behaving as `r2s run` does."""
    from r2s_core.config import load_config
    from r2s_core.errors import R2SError
    from r2s_core.training.run import run

    try:
        run(load_config(Path(config_path)), resume="--resume" in arguments, make_env=make_env)
    except R2SError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main(*sys.argv[1:])
