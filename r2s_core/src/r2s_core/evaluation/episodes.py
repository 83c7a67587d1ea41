"""Runs complete episodes and summarises their outcomes.

Counting the first N episodes that happen to end would over-count the short ones, which are the
failures; so each of W worlds plays exactly k episodes and every one of the W * k counts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import jax
import numpy as np

from r2s_core.errors import R2SError
from r2s_core.evaluation.intervals import wilson_interval
from r2s_core.task_info import TaskInfo, failure_name
from r2s_core.types import Array, Checked, Environment, EnvSpec, Named, Policy, Step, Variants

#: (policy, state, obs, key) -> (state, obs, step, action)
Advance = Callable[[Policy, Any, Named, Array], tuple[Any, Named, Step, Array]]

_READ_BYTES = 256 * 2**20  # of images that are kept of recorded episodes
_OUTCOMES = ("success", "terminated", "diverged", "episode_return", "episode_length")
#: The kind of failure, which the engine sees, whatever the task.
DIVERGED = "diverged"
#: Where an episode was that reached no stage.
START = "start"
#: What is reported for each variant of the scene.
_OF_VARIANT = (
    "episodes",
    "success_rate",
    "success_ci95",
    "headline_rates",
    "stage_rates",
    "failures",
    "failures_by_stage",
    "time_to_success_s",
)


@dataclasses.dataclass(frozen=True)
class Recording:
    """The motion of one episode, for pictures.

    qpos: float32[T, nq], at the start of every control step. task: the task's state then, leaves
    [T, ...]. success: how the episode ended. variant: the scene's. metrics: the task's, float32[T]
    each, after every control step. succeeded: bool[T], whether the episode
    would have been a success had it ended after that step. failure: the kind, see
    `failures`; empty for a success. read: what a policy that sees read at the start of every
    control step, [T, *shape] by observation group; empty for one that sees nothing, and where
    there were too many images to keep.
    """

    qpos: np.ndarray
    task: Any
    success: bool
    variant: int = 0
    metrics: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    succeeded: np.ndarray | None = None
    failure: str = ""
    read: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Episodes:
    """The outcomes of E episodes; arrays [E]."""

    success: np.ndarray
    terminated: np.ndarray
    diverged: np.ndarray
    episode_return: np.ndarray
    episode_length: np.ndarray
    metrics: Mapping[str, np.ndarray]
    recordings: tuple[Recording, ...] = ()
    variant: np.ndarray | None = None  # of the scene; None where it has none
    rewarded: bool = True  # False where the environment has no rewards, so returns mean nothing
    world: np.ndarray | None = None  # int[E], the episode's world
    #: float[E], s: after this time the task was solved and stayed so; NaN for failures. None:
    #: not measured.
    time_to_success: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.success)

    def where(self, which: np.ndarray) -> Episodes:
        """The episodes under the mask bool[E], without recordings."""
        columns: dict[str, Any] = {
            name: None if (column := getattr(self, name)) is None else column[which]
            for name in (*_OUTCOMES, "variant", "world", "time_to_success")
        }
        metrics = {name: column[which] for name, column in self.metrics.items()}
        return Episodes(**columns, metrics=metrics, rewarded=self.rewarded)

    def success_by_world(self) -> np.ndarray:
        """Each world's success rate, float[W]; for episodes of `run_episodes`."""
        assert self.world is not None
        return np.bincount(self.world, self.success) / np.bincount(self.world)


class Watch(Protocol):
    """Sees the episodes while `run_episodes` plays them."""

    def before(self, state: Any) -> None:
        """The environment's state before a control step."""
        ...

    def after(self, step: Step, action: Array, ended: Episodes) -> None:
        """What the step gave under action float32[W, A], and the episodes that it ended."""
        ...


def advancing(env: Environment[Any]) -> Advance:
    """One step of an environment under any policy, to be reused for repeated evaluations.

    For a policy that is a `jax.tree_util.Partial`, as `policy.network.as_jax` returns, it is not
    compiled again for other weights.
    """
    advance = partial(_advance, env)
    return jax.jit(advance) if env.spec.traceable else advance


def run_episodes(
    env: Environment[Any],
    policy: Policy,
    key: Array,
    per_world: int,
    record: int = 0,
    advance: Advance | None = None,
    watch: Watch | None = None,
) -> Episodes:
    """Play exactly `per_world` complete episodes in each world, from a fresh reset.

    record: the number of worlds of which to keep the first episode's motion (where the
    environment's state has `physics.view.qpos`). advance: `advancing(env)`, to compile it once.
    watch: sees every step.
    """
    key, reset_key = jax.random.split(key)
    state, obs = env.reset(reset_key)
    advance = advance or advancing(env)
    if not isinstance(policy, jax.tree_util.Partial):
        policy = jax.tree_util.Partial(lambda obs, key, act=policy: act(obs, key))
    worlds = env.spec.num_worlds
    remaining, solved = np.full(worlds, per_world), np.zeros(worlds, int)
    recorder = _Recorder(state, min(record, worlds), env.spec)
    rows: list[dict[str, np.ndarray]] = []
    # No world can need more steps than this: every episode is truncated in time.
    for step_key in jax.random.split(key, per_world * env.spec.max_episode_steps):
        if not remaining.any():
            break
        recorder.before(state, obs)
        if watch is not None:
            watch.before(state)
        state, obs, step, action = advance(policy, state, obs, step_key)
        recorder.after(step)
        done = np.asarray(step.done)
        solved = np.where(np.asarray(step.success), solved + 1, 0)  # control steps in a row
        if watch is None and not done.any():
            continue
        rows.append(_ended(step, done & (remaining > 0), solved, env.spec.control_dt))
        if watch is not None:
            watch.after(step, action, _episodes(rows[-1], env))
        if done.any():
            remaining = np.maximum(remaining - done, 0)
            solved[done] = 0
    if isinstance(env, Checked):
        env.check()
    if remaining.any():
        raise R2SError(
            f"{int((remaining > 0).sum())} of {worlds} worlds did not finish {per_world} episodes "
            f"within {env.spec.max_episode_steps} steps each; the environment's episodes exceed "
            "its max_episode_steps."
        )
    episodes = _episodes(
        {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}, env
    )
    return dataclasses.replace(episodes, recordings=recorder.recordings(episodes, env.spec.task))


def summarise(
    episodes: Episodes, info: TaskInfo, variants: Variants | None = None
) -> dict[str, Any]:
    """The evaluation's part of `result.json`, as plain Python values.

    info, variants: of the task and of its scene. With variants there is a row for each, the worst
    first, the totals cover those that were trained on, and `held_out_*` the others.
    """
    if variants is None or episodes.variant is None:
        return _summary(episodes, info)
    held_out = np.asarray(variants.held_out)[episodes.variant]
    rows = []
    for index in np.unique(episodes.variant):
        part = _summary(episodes.where(episodes.variant == index), info)
        row = {"name": variants.names[index], "held_out": bool(variants.held_out[index])}
        rows.append(row | {key: part[key] for key in _OF_VARIANT})
    result: dict[str, Any] = {"objects": sorted(rows, key=lambda row: row["success_rate"])}
    if held_out.any():
        unseen = _summary(episodes.where(held_out), info)
        result |= {f"held_out_{key}": unseen[key] for key in _OF_VARIANT}
    trained_on = episodes if held_out.all() else episodes.where(~held_out)
    return _summary(trained_on, info) | result


def _summary(episodes: Episodes, info: TaskInfo) -> dict[str, Any]:
    successes, total = int(episodes.success.sum()), len(episodes)
    means = {name: float(np.mean(column)) for name, column in episodes.metrics.items()}
    return {
        "success_rate": successes / total,
        "success_ci95": list(wilson_interval(successes, total)),
        "headline_rates": {name: means[name] for name in info.headline},
        "episodes": total,
        "stage_rates": {name: means[name] for name in info.stages},
        **_failures(episodes, info),
        "time_to_success_s": _quantiles(episodes),
        "diverged_episodes": int(episodes.diverged.sum()),
        "mean_return": float(np.mean(episodes.episode_return)) if episodes.rewarded else None,
        "mean_length": float(np.mean(episodes.episode_length)),
        "metrics": means,
    }


def _failures(episodes: Episodes, info: TaskInfo) -> dict[str, Any]:
    """Number of failures by kind, and of each kind by the last stage that the episodes reached."""
    kinds, number = failures(episodes, info)
    stages = (START, *info.stages)
    reached = np.zeros(len(episodes), int)
    for i, name in enumerate(info.stages, 1):
        reached[episodes.metrics[name] >= 0.5] = i
    by_kind, by_stage = {}, {}
    for k in np.unique(number[number >= 0]):
        counts = np.bincount(reached[number == k], minlength=len(stages))
        by_kind[kinds[k]] = int(counts.sum())
        named = zip(stages, counts, strict=True)
        by_stage[kinds[k]] = {name: int(count) for name, count in named if count}
    return {"failures": by_kind, "failures_by_stage": by_stage}


def _quantiles(episodes: Episodes) -> dict[str, float] | None:
    """Of the successes' times, s; None where there are none."""
    if episodes.time_to_success is None or not episodes.success.any():
        return None
    times = episodes.time_to_success[np.asarray(episodes.success, bool)]
    low, median, high = np.quantile(times, (0.1, 0.5, 0.9))
    return {"p10": float(low), "median": float(median), "p90": float(high)}


def failures(episodes: Episodes, info: TaskInfo) -> tuple[list[str], np.ndarray]:
    """The kinds of failure, and int[E]: which of them an episode is, -1 for a success.

    Every failed episode is of exactly one kind, the first that fits: see `TaskInfo.failures`.
    """
    kinds: list[str] = []
    number = np.full(len(episodes), -1)
    left = ~np.asarray(episodes.success, bool)

    def assign(name: str, mask: np.ndarray) -> None:
        nonlocal left
        number[left & mask] = len(kinds)
        kinds.append(name)
        left = left & ~mask

    assign(DIVERGED, episodes.diverged)
    for metric in info.failures:
        assign(failure_name(metric), episodes.metrics[metric] >= 0.5)
    before = ""
    for name in info.stages:
        assign(f"{before}not {name}", episodes.metrics[name] < 0.5)
        before = f"{name}, "
    assign(f"{before}{info.terminated}", episodes.terminated)
    assign(f"{before}{info.out_of_time}", np.ones(len(episodes), bool))
    return kinds, number


def _advance(
    env: Environment[Any], policy: Policy, state: Any, obs: Named, key: Array
) -> tuple[Any, Named, Step, Array]:
    action = policy(obs, key)
    state, step = env.step(state, action)
    outcome = dataclasses.replace(step, obs={}, final_obs={})  # so they are not copied to the host
    return state, step.obs, outcome, action


def _ended(
    step: Step, which: np.ndarray, solved: np.ndarray, control_dt: float
) -> dict[str, np.ndarray]:
    """The outcomes of the episodes under `which`, bool[W].

    solved: int[W], the control steps in a row after which the task was solved.
    """
    columns = {name: getattr(step, name) for name in _OUTCOMES}
    time = (np.asarray(step.episode_length) - solved + 1) * control_dt
    columns["time_to_success"] = np.where(np.asarray(step.success), time, np.nan)
    if step.variant is not None:
        columns["variant"] = step.variant
    columns["world"] = np.arange(len(which))
    columns |= {f"metrics/{name}": column for name, column in step.metrics.items()}
    return {name: np.asarray(column)[which] for name, column in columns.items()}


def _episodes(columns: Mapping[str, np.ndarray], env: Environment[Any]) -> Episodes:
    """The episodes of `_ended`'s columns."""
    metrics = {k.removeprefix("metrics/"): v for k, v in columns.items() if "/" in k}
    rest: dict[str, Any] = {name: column for name, column in columns.items() if "/" not in name}
    return Episodes(**rest, metrics=metrics, rewarded=bool(getattr(env, "rewards", True)))


class _Recorder:
    """Collects the first episode of `count` worlds, spread over all worlds and so over variants."""

    def __init__(self, state: Any, count: int, spec: EnvSpec) -> None:
        view = getattr(getattr(state, "physics", None), "view", None)
        qpos = getattr(view, "qpos", None)
        self._count = 0 if qpos is None else count
        self._worlds = np.arange(self._count) * (1 if qpos is None else len(qpos) // max(count, 1))
        self._variant = getattr(state, "variant", None)
        self._rows: list[Any] = []
        self._outcomes: list[Any] = []
        self._ends: dict[int, int] = {}
        self._read = _room_for_images(spec, self._count) if self._count else {}

    @property
    def _is_over(self) -> bool:
        return len(self._ends) == self._count

    def before(self, state: Any, obs: Named) -> None:
        if not self._is_over:
            for group, kept in self._read.items():
                kept[len(self._rows)] = obs[group][self._worlds[: kept.shape[1]]]
            self._rows.append(self._select((state.physics.view.qpos, state.task)))

    def after(self, step: Step) -> None:
        if self._is_over:
            return
        self._outcomes.append(self._select((dict(step.metrics), step.success)))
        for i in np.flatnonzero(np.asarray(step.done)[self._worlds]):
            self._ends.setdefault(int(i), len(self._rows))

    def _select(self, tree: Any) -> Any:
        """The rows of the recorded worlds."""
        return jax.tree.map(lambda x: np.array(np.asarray(x)[self._worlds]), tree)

    def recordings(self, episodes: Episodes, info: TaskInfo) -> tuple[Recording, ...]:
        """episodes: all of them, in the order in which they ended."""
        if not self._rows:
            return ()
        qpos, task = jax.tree.map(lambda *rows: np.stack(rows), *self._rows)
        metrics, succeeded = jax.tree.map(lambda *rows: np.stack(rows), *self._outcomes)
        assert episodes.world is not None
        kinds, number = failures(episodes, info)

        def cut(tree: Any, i: int, length: int) -> Any:
            return jax.tree.map(lambda x: x[:length, i], tree)

        variant = np.zeros(self._count, int)
        if self._variant is not None:
            variant = np.asarray(self._variant)[self._worlds]
        recordings = []
        for i, length in sorted(self._ends.items()):
            first = int(np.argmax(episodes.world == self._worlds[i]))
            recordings.append(
                Recording(
                    qpos[:length, i],
                    cut(task, i, length),
                    success=bool(episodes.success[first]),
                    variant=int(variant[i]),
                    metrics=cut(metrics, i, length),
                    succeeded=np.asarray(succeeded[:length, i], bool),
                    failure="" if number[first] < 0 else kinds[number[first]],
                    read={
                        group: kept[:length, i]
                        for group, kept in self._read.items()
                        if i < kept.shape[1]
                    },
                )
            )
        return tuple(recordings)


def _room_for_images(spec: EnvSpec, episodes: int) -> dict[str, np.ndarray]:
    """Arrays [T, E, *shape] for what a policy that sees reads, by group, of the first E of
    `episodes` episodes, as many as `_READ_BYTES` have room for; none for one that sees nothing."""
    groups = {name: spec.observations[name] for name in spec.policy_groups}
    if not any(group.is_image for group in groups.values()):
        return {}
    steps = spec.max_episode_steps
    kept = min(episodes, _READ_BYTES // (steps * sum(group.nbytes for group in groups.values())))
    return {name: np.empty((steps, kept, *g.shape), g.dtype) for name, g in groups.items()}
