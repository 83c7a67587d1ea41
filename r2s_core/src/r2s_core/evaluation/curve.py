"""Evaluations of the policy during training: `evaluation.curve_points`.

Training episodes use the stochastic policy, and some start in the middle of the task; only separate
episodes show how good the policy is from the task's own starts.
"""

from __future__ import annotations

from typing import Any

from r2s_core.config import RunConfig
from r2s_core.env.build import MakeEnvironment
from r2s_core.evaluation import evaluate
from r2s_core.evaluation.episodes import advancing, run_episodes, summarise
from r2s_core.policy.network import as_jax
from r2s_core.policy.saved import as_saved
from r2s_core.record.history import EVALUATED
from r2s_core.types import Environment, EnvSpec, PolicyExport


class EvaluationCurve:
    """Evaluates the deterministic policy at `curve_points` steps spread evenly over training.

    It shares nothing with training: it has its own environment, made when first needed, and random
    keys that depend only on the run's seed and the point. So training is the same, bit for bit, as
    without it, and a resumed run measures the same.
    """

    def __init__(self, config: RunConfig, make_env: MakeEnvironment) -> None:
        self._config, self._make_env = config, make_env
        self._env: Environment[Any] | None = None

    def point(self, before: int, after: int) -> int | None:
        """The last point, counted from 1, in the environment steps (before, after]; or None."""
        points, total = self._config.evaluation.curve_points, self._config.training.total_timesteps
        reached = after * points // max(total, 1)
        return reached if reached > before * points // max(total, 1) else None

    def measure(self, export: PolicyExport, spec: EnvSpec, point: int) -> dict[str, float]:
        """Metrics of the policy on `curve_episodes` fresh episodes; spec: of its training."""
        config, options = self._config, self._config.evaluation
        if self._env is None:
            worlds = min(options.num_parallel_envs, options.curve_episodes)
            self._env = self._make_env(config, worlds, False)
            self._advance = advancing(self._env)
        task = config.environment.use
        policy = as_jax(as_saved(export, spec, task=task), self._env, task)
        key = evaluate.episodes_key(config, point)
        per_world = -(-options.curve_episodes // self._env.spec.num_worlds)
        episodes = run_episodes(self._env, policy, key, per_world, advance=self._advance)
        summary = summarise(episodes, self._env.spec.task, evaluate.variants_of(self._env))
        return {EVALUATED: float(summary["success_rate"])}
