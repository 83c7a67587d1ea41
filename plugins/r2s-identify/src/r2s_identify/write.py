"""The fit as a `randomization:` block, and as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from r2s_core.config import load_mapping
from r2s_core.errors import R2SError
from r2s_core.system import files
from r2s_identify.arm import Arm
from r2s_identify.identify import Number, Result

#: A range must not be a single number that changes nothing, nor touch 0 where it is a factor.
_LEAST = 1e-4


def block(arm: Arm, result: Result, held_object: str | None) -> tuple[dict[str, Any], list[str]]:
    """The entries of `randomization:`, and sentences about what they do not contain.

    held_object: the name of the object that was in the hand; None: there was none.
    """
    entries: dict[str, Any] = {}
    left: list[str] = []
    sound = {each.unknown.name: each for each in result.numbers if not each.at_bound}
    left += [
        f"{each.unknown.name} ended at a bound of the fit, {each.value:.4g} {each.unknown.unit}: "
        "it is not written"
        for each in result.numbers
        if each.at_bound
    ]
    for joint, name in enumerate(arm.joints):
        entries |= _of_joint(arm, joint, name, sound)
    if (delay := sound.get("delay")) is not None:
        low, high = max(delay.low, 0.0), max(delay.high, _LEAST)
        entries["identified_delay"] = {
            "use": "action_delay",
            "delay": [_short(low), _short(high)],
        }
    if (gravity := sound.get("gravity_error")) is not None:
        left.append(
            f"no randomizer leaves a share of the arm's weight uncompensated ({gravity.value:.2g} "
            "here). It is not written"
        )
    if (payload := sound.get("payload")) is not None:
        if held_object is None:
            left.append(
                f"no randomizer adds a payload at the hand ({payload.value:.4g} kg here): that of "
                "masses, on the hand's body, would have its weight compensated. It is not written"
            )
        else:
            mass = arm.masses[held_object]
            entries["identified_mass"] = {
                "use": "mass",
                "bodies": ["object"],
                "factor": _factors(payload, mass),
                "distribution": "normal",
            }
            if len(arm.masses) > 1:
                left.append(
                    f"identified_mass varies all {len(arm.masses)} objects, each by a factor on "
                    f"its own mass; it was measured on {held_object}"
                )
    return entries, left


def _of_joint(arm: Arm, joint: int, name: str, sound: dict[str, Number]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    stiffness, damping = sound.get(f"stiffness.{name}"), sound.get(f"servo_damping.{name}")
    if stiffness or damping:
        found[f"identified_servo_{name}"] = {
            "use": "actuator_gain",
            "actuators": [name],
            "stiffness": _factors(stiffness, stiffness.unknown.nominal) if stiffness else [1, 1],
            "damping": _factors(damping, damping.unknown.nominal) if damping else [1, 1],
            "distribution": "normal",
        }
    if own := sound.get(f"joint_damping.{name}"):
        found[f"identified_damping_{name}"] = {
            "use": "joint_damping",
            "joints": [name],
            "factor": _factors(own, own.unknown.nominal),
            "distribution": "normal",
        }
    if friction := sound.get(f"friction.{name}"):
        nominal = friction.unknown.nominal
        low = max(friction.low - nominal, 0.0)
        found[f"identified_friction_{name}"] = {
            "use": "joint_friction",
            "joints": [name],
            "friction": [_short(low), _short(max(friction.high - nominal, low + _LEAST))],
            "distribution": "normal",
        }
    if armature := sound.get(f"armature.{name}"):
        found[f"identified_armature_{name}"] = {
            "use": "armature",
            "joints": [name],
            "factor": _factors(armature, float(arm.rotor[joint])),
            "distribution": "normal",
        }
    return found


def _factors(number: Number, nominal: float) -> list[float]:
    """The interval as factors on a nominal value."""
    low = max(number.low / nominal, _LEAST)
    return [_short(low), _short(max(number.high / nominal, low * (1.0 + _LEAST)))]


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def fragment(arm: Arm, result: Result, held_object: str | None, source: str) -> str:
    """The YAML; raises `R2SError` where the configuration with it would not be valid."""
    entries, left = block(arm, result, held_object)
    if not entries:
        raise R2SError("nothing that was identified can be written as a randomizer")
    uses = {entry["use"] for entry in entries.values()}
    clash = [name for name, own in arm.config.randomization.items() if own.use in uses]
    if clash:
        left.append(
            f"the configuration's own {', '.join(clash)} vary such numbers too: drop what these "
            "ranges replace, from its `curriculum` as well"
        )
    merged = arm.config.resolved()
    for section in (merged, merged["curriculum"]):
        own = section.get("randomization", {})
        section["randomization"] = {name: own[name] for name in own if name not in clash}
    merged["randomization"] |= entries
    load_mapping(merged, to_train=False)
    lines = [
        f"# Identified from {source} by `r2s identify`: each range is a 95 % interval, its middle",
        "# the fit. Copy it into the configuration's `randomization:`. Ranges are as good as the",
        "# model is: widen them where the arm has what the model has not (README of r2s-identify).",
        *(f"# Not here: {sentence}." for sentence in left),
    ]
    body = yaml.safe_dump({"randomization": entries}, sort_keys=False, default_flow_style=None)
    return "\n".join(lines) + "\n" + body


def write(path: Path, text: str) -> None:
    """Replace a file at once; raises `R2SError`."""
    try:
        files.write_text(path, text)
    except OSError as error:
        raise R2SError(f"{path} cannot be written: {error.strerror or error}.") from error


def _place(kind: str, first: Sequence[str]) -> int:
    return first.index(kind) if kind in first else len(first)


def table(result: Result) -> Iterator[str]:
    """Lines: each number, its interval, what the scene has, and what it depends on."""
    yield f"{'':<24}{'fit':>11}  {'95 % interval':^25}  {'scene':>10}"
    first = ("delay", "payload", "gravity_error")
    for each in sorted(result.numbers, key=lambda each: _place(each.unknown.kind, first)):
        unknown = each.unknown
        notes = ["AT ITS BOUND"] if each.at_bound else []
        if each.given:
            notes.append(f"with {', '.join(each.given)} as in the scene")
        yield (
            f"{unknown.name:<24}{each.value:>11.5g}  {each.low:>11.5g} to {each.high:<10.5g}  "
            f"{unknown.nominal:>10.5g} {unknown.unit:<10} {'; '.join(notes)}"
        ).rstrip()
