"""The facts of a task that a reader needs beside its success: rates, actions, rewards, and what a
policy that sees reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from r2s_core.camera import Camera
from r2s_core.pages import Table
from r2s_core.policy.cameras import described
from r2s_core.system import documents
from r2s_core.system.progress import auxiliary_error
from r2s_core.types import EXPERT_GROUP

#: What names of numbers about a true object begin with.
_TRUE = "object"


def task_box(
    result: Mapping[str, Any], config: Mapping[str, Any], contract: Mapping[str, Any] | None
) -> Table:
    """From the policy's contract, what result.json tells of the rewards, and the configuration.

    What a policy with cameras observes is in `reads_box`.
    """
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


def reads_box(result: Mapping[str, Any], contract: Mapping[str, Any] | None) -> Table:
    """What a policy with cameras reads, and what only its training read; else no rows."""
    if not contract or not contract.get("cameras"):
        return Table("", [])
    rows: list[tuple[str, str]] = []
    for name, facts in contract["cameras"].items():
        camera = documents.parse(Camera, facts, f"the camera {name}")
        rows.append((f"camera {name}", described(camera, contract["control_rate_hz"])))
    numbers = {n: g for n, g in contract["observations"].items() if len(g["shape"]) == 1}
    names = [name for group in numbers.values() for name in group["names"]]
    rows += [_observed(*item) for item in numbers.items()]
    if not numbers:
        rows.append(("numbers", "none: it reads images alone"))
    if not any(name.startswith(_TRUE) for name in names):
        rows.append(("true pose of an object", "not read; the policy must find objects by sight"))
    for group, own in result.get("only_in_training", {}).items():
        what = "what the expert would do" if group == EXPERT_GROUP else _beyond(own, names)
        rows.append((f"'{group}', in training only", what))
    if predicted := result.get("auxiliary"):
        text = (
            f"{_named(predicted['names'])}; at the end {auxiliary_error(predicted)} off "
            "(root mean square of a number); the saved policy is without"
        )
        rows.append(("learned to predict, in training only", text))
    return Table("What the policy reads", rows)


def _beyond(names: Sequence[str], read: Sequence[str]) -> str:
    """Numbers that training read, those first that the policy does not read."""
    own = [name for name in names if name not in read]
    shared = len(names) - len(own)
    parts = [_named(own)] if own else []
    parts += [f"{shared} that the policy reads"] if shared else []
    return f"{len(names)} numbers: {' and '.join(parts)}" if names else "numbers without names"


def _interface(contract: Mapping[str, Any]) -> list[tuple[str, str]]:
    rate, steps = contract["control_rate_hz"], contract["max_episode_steps"]
    action = contract["action"]
    step = f"{1000 / rate:.3g} ms"
    observed = {} if contract.get("cameras") else contract["observations"]
    return [
        ("control", f"{rate:.4g} Hz, a step of {step}"),
        ("episode", f"{steps:,} control steps, {steps / rate:.4g} s at most"),
        ("actions", f"{action['size']}: {_bounded(action)}"),
        *(_observed(*item) for item in observed.items()),
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
