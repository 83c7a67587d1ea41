"""The facts of a task that a reader needs beside its success: rates, actions, rewards."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from r2s_core.pages import Table


def task_box(
    result: Mapping[str, Any], config: Mapping[str, Any], contract: Mapping[str, Any] | None
) -> Table:
    """From the policy's contract, what result.json tells of the rewards, and the configuration."""
    rows: list[tuple[str, str]] = []
    if contract:
        rows += _interface(contract)
    if rewards := result.get("rewards"):
        terms = (f"{weight:.3g} {name}" for name, weight in rewards.items())
        rows.append(("reward", " + ".join(terms)))
    randomized = list(config.get("randomization") or {})
    rows.append(("randomized in training", ", ".join(randomized) or "nothing"))
    worlds = config["environment"].get("num_parallel_envs")
    if worlds:
        rows.append(("worlds in training", f"{worlds:,}"))
    return Table("", rows)


def _interface(contract: Mapping[str, Any]) -> list[tuple[str, str]]:
    rate, steps = contract["control_rate_hz"], contract["max_episode_steps"]
    action = contract["action"]
    step = f"{1000 / rate:.3g} ms"
    return [
        ("control", f"{rate:.4g} Hz, a step of {step}"),
        ("episode", f"{steps:,} control steps, {steps / rate:.4g} s at most"),
        ("actions", f"{action['size']}: {_bounded(action)}"),
        *(_observed(*item) for item in contract["observations"].items()),
        ("units", contract["units"]),
    ]


def _observed(name: str, group: Mapping[str, Any]) -> tuple[str, str]:
    if not group["names"]:
        return f"observes '{name}'", f"{group['dtype']}{list(group['shape'])}"
    return f"observes '{name}'", f"{len(group['names'])} numbers: {_named(group['names'])}"


def _bounded(action: Mapping[str, Any]) -> str:
    """Names with their bounds, once where they are the same for all."""
    bounds = list(zip(action["low"], action["high"], strict=True))
    if len(set(bounds)) == 1:
        low, high = bounds[0]
        return f"{', '.join(action['names'])}, each in [{low:g}, {high:g}]"
    return ", ".join(
        f"{name} in [{low:g}, {high:g}]"
        for name, (low, high) in zip(action["names"], bounds, strict=True)
    )


def _named(names: Sequence[str]) -> str:
    """What they measure, without axes and numbers: `tip_x` and `tip_y` are "tip 2"."""
    stems = [_stem(name) for name in names]
    numbers = {stem or "number": stems.count(stem) for stem in stems}
    return ", ".join(f"{stem} {n}" if n > 1 else stem for stem, n in numbers.items())


def _stem(name: str) -> str:
    """Numbers only at the end of a word: `joint1_velocity` is "joint_velocity"."""
    if re.fullmatch(r"action_.+_[0-9]+_ago", name):  # of `r2s_core.env.action_history`
        return "past actions"
    return re.sub(r"_[xyzw]$", "", re.sub(r"_?[0-9]+(?=_|$)", "", name)).strip("_")
