"""Evaluates a policy in every case of a grid."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np

from r2s_core import device, registry
from r2s_core.config import RunConfig, load_config
from r2s_core.env import build
from r2s_core.errors import R2SError
from r2s_core.evaluation.episodes import summarise
from r2s_core.evaluation.evaluate import UNUSED, config_of, num_worlds, play
from r2s_core.evaluation.intervals import clustered_interval, paired_interval
from r2s_core.evaluation.robustness.grid import DEFAULT_GRID, Case, chosen, read_grid
from r2s_core.evaluation.robustness.page import not_played, write_heat_map
from r2s_core.policy.saved import SavedPolicy, load_policy
from r2s_core.record import inputs
from r2s_core.record.folder import shown
from r2s_core.system import files
from r2s_core.system.progress import duration, points
from r2s_core.system.text import printable

#: Switches off the run's own randomization, before the user's overrides.
_NOMINAL = "randomization={}"
_EPISODES = 256
_KEPT = ("success_rate", "success_ci95", "headline_rates", "episodes", "diverged_episodes")


def measure_robustness(
    run_dir: Path | str,
    episodes: int | None = None,
    backend: str | None = None,
    overrides: Sequence[str] = (),
    grid: Path | None = None,
    only: Sequence[str] = (),
) -> dict[str, Any]:
    """Evaluate a run's policy under each perturbation; writes `robustness.json` and `.html` there.

    Args:
      episodes: per case; default 256.
      backend: a physics backend other than the run's.
      overrides: `key=value`, in every case, on top of the run's own config.yaml without its
        randomization and curriculum.
      grid: a file of perturbations (see `grid.read_grid`); default: the task's, else a generic one.
      only: the perturbations to play, by name or pattern; default: all.

    Returns the content of the file. A case that cannot be evaluated, for example for lack of a
    package or of cameras, is listed with the reason and does not count. Raises `R2SError` where the
    run or its policy is missing, or no case can be evaluated.
    """
    run_dir, began = Path(run_dir), time.perf_counter()
    path = config_of(run_dir)
    if path is None:
        raise R2SError(f"{run_dir} is not the folder of a run: it has no config.yaml.")
    inputs.verify(path.parent)
    policy = load_policy(run_dir)
    common = [_NOMINAL, *overrides, *([f"backend={backend}"] if backend else [])]
    nominal = load_config(path, [*common, *UNUSED])
    options = dataclasses.replace(nominal.evaluation, episodes=episodes or _EPISODES)
    nominal = dataclasses.replace(nominal, evaluation=options)
    device.announce(device.select_device(nominal.training.use_gpu))
    every = chosen(read_grid(grid or _grid_of(nominal)), only)
    cases, left_out = _applicable(every, nominal)
    if not cases:
        raise R2SError(f"None of the perturbations can be played: {left_out[0]['not_played']}")
    _say(f"{1 + len(cases)} cases of {nominal.evaluation.episodes:,} episodes")
    for line in not_played(left_out):
        _say(line)
    unperturbed, nominal_rates = _played(nominal, policy)
    rows = [{"perturbation": "none", "label": "", **unperturbed}]
    by_world: list[np.ndarray] = []
    started = time.perf_counter()
    for number, case in enumerate(cases, 1):
        row, rates = _row(case, path, common, policy, nominal)
        if rates is not None:
            row |= difference(rates, nominal_rates, row["episodes"], unperturbed["episodes"])
            by_world.append(rates)
        rows.append(row)
        left = (time.perf_counter() - started) / number * (len(cases) - number)
        _say(_line(row) + (f"  {duration(left)} left" if number < len(cases) else ""))
    result = {
        "name": nominal.name,
        "algorithm": nominal.algorithm,
        "object": inputs.object_names(nominal),
        "seed": nominal.seed,
        "episodes": rows[0]["episodes"],
        "grid": str(grid or "the task's"),
        "trained_with": sorted({u.use for u in load_config(path, UNUSED).randomization.values()}),
        **summary([*rows, *left_out], by_world, nominal_rates),
        "cases": [*rows, *left_out],
        "finished_at": datetime.now().astimezone().isoformat(timespec="seconds"),
        "total_s": round(time.perf_counter() - began, 1),
    }
    files.write_json(path.parent / "robustness.json", result)
    write_heat_map(path.parent / "robustness.html", result, shown(path.parent))
    page = shown(path.parent / "robustness.html")
    _say(
        f"mean success over {result['played']} cases: {result['mean_success']:.1%} "
        f"(unperturbed {result['nominal_success']:.1%}, "
        f"{points(result['mean_difference'], result['mean_difference_ci95'])}); {page}"
    )
    return result


def difference(
    rates: np.ndarray, nominal: np.ndarray, episodes: int, nominal_episodes: int
) -> dict[str, Any]:
    """How much higher success was than in the unperturbed worlds, with the 95 % interval.

    rates, nominal: float[W], the success rate of each world, whose first episode has the same start
    state in both; so the worlds are compared in pairs.
    """
    each, own = episodes // len(rates), nominal_episodes // len(nominal)
    return {
        "difference": float(np.mean(rates) - np.mean(nominal)),
        "difference_ci95": list(paired_interval(rates, nominal, each, own)),
    }


def summary(
    rows: Sequence[Mapping[str, Any]], by_world: Sequence[np.ndarray], nominal: np.ndarray
) -> dict[str, Any]:
    """Mean success over the perturbed cases, with its 95 % interval for this grid; the unperturbed
    success with its own; and the difference of the two.

    by_world: float[W] for each case that was played, the success rate of each world; nominal: of
    the unperturbed worlds. A world has the same start state in every case, and hard starts are hard
    in many of them; so only worlds are independent, cases are not.
    """
    played = [row for row in rows[1:] if "success_rate" in row]
    if not played:
        reasons = {row["not_played"] for row in rows[1:]}
        raise R2SError(f"None of the perturbations can be played: {'; '.join(sorted(reasons))}")
    worlds = np.mean(by_world, axis=0)
    episodes = sum(row["episodes"] for row in played)
    return {
        "mean_success": float(worlds.mean()),
        "mean_success_ci95": list(clustered_interval(worlds, episodes // len(worlds))),
        **{
            f"mean_{name}": value
            for name, value in difference(worlds, nominal, episodes, rows[0]["episodes"]).items()
        },
        "worst": min(played, key=lambda row: row["success_rate"]),
        "played": len(played),
        "nominal_success": rows[0]["success_rate"],
        "nominal_success_ci95": rows[0]["success_ci95"],
    }


def _applicable(
    cases: Sequence[Case], config: RunConfig
) -> tuple[list[Case], list[dict[str, Any]]]:
    """The cases for this kind of policy, and the rows of the others, which would tell nothing."""
    seeing = config.environment.engine.vision is not None
    other = "state" if seeing else "cameras"
    reason = (
        "the policy has cameras, and reads none of it" if seeing else "the policy has no cameras"
    )
    rows = [{**_head(case), "not_played": reason} for case in cases if case.applies_to == other]
    return [case for case in cases if case.applies_to != other], rows


def _head(case: Case) -> dict[str, Any]:
    changes = list(case.overrides)
    return {"perturbation": case.perturbation, "label": case.label, "changes": changes}


def _row(
    case: Case, path: Path, common: Sequence[str], policy: SavedPolicy, nominal: RunConfig
) -> tuple[dict[str, Any], np.ndarray | None]:
    """The result of a case, and the success rate of each world; None where it was not played."""
    row = _head(case)
    try:
        config = load_config(path, [*common, *case.overrides, *UNUSED])
        # The same worlds in every case, so that a world's start state is the same, too.
        config = dataclasses.replace(config, evaluation=nominal.evaluation)
        if (
            _names_backend(case)
            and config.backend.use == device.resolve_backend(nominal).backend.use
        ):
            raise R2SError("it is the backend of the other cases")
        result, rates = _played(config, policy)
        return row | result, rates
    except R2SError as error:  # a package that is not installed, an object that is refused
        return row | {"not_played": str(error).splitlines()[0]}, None


def _names_backend(case: Case) -> bool:
    return any(override.startswith(("backend=", "backend.")) for override in case.overrides)


def _played(config: RunConfig, policy: SavedPolicy) -> tuple[dict[str, Any], np.ndarray]:
    config = device.resolve_backend(config)
    env = build.make_environment(config, num_worlds(config), training=False)
    episodes = play(config, policy, env)
    result = summarise(episodes, env.spec.task)
    jax.clear_caches()  # each case compiles its own engine
    return {key: result[key] for key in _KEPT}, episodes.success_by_world()


def _grid_of(config: RunConfig) -> Path:
    """The task's own file of perturbations, `perturbations`, if it has one."""
    use = config.environment
    made = registry.build("environment", use.use, use.options)
    info = made.spec.task if hasattr(made, "step") else made.info
    return info.perturbations or DEFAULT_GRID


def _line(row: Mapping[str, Any]) -> str:
    name = f"{row['perturbation']} {row['label']}".strip()
    if "not_played" in row:
        return f"{name}: not played: {row['not_played']}"
    low, high = row["success_ci95"]
    failed = row["diverged_episodes"]
    against = ""
    if "difference" in row:
        against = f", {points(row['difference'], row['difference_ci95'])}"
    more = f"; the physics failed in {failed:,} of {row['episodes']:,}" if failed else ""
    return f"{name}: {row['success_rate']:.1%} ({low:.1%} to {high:.1%}){against}{more}"


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)
