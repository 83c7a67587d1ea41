"""What a log tells, and what it cannot.

The fit is linearised: a direction in the space of the numbers is told if its 95 % interval is
narrower than the numbers' own scales (`Unknown.scale`), which is the rank of the Jacobian in the
measure that matters. Where a direction is not told, one number in it is held, and named together
with those that it cannot be told from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from r2s_identify.arm import Arm
from r2s_identify.parameters import OF_JOINTS, Unknown
from r2s_identify.recording import Recording

Array = np.ndarray
NORMAL = 1.96  # 95 %
_PART = 0.2  # of the largest share in a direction, from which a number is part of it
_STILL = 0.01  # rad: a joint that moves less hardly moves
#: Kinds, those first that are held first.
_HELD_FIRST = (OF_JOINTS[0], "gravity_error", *OF_JOINTS[1:], "payload", "delay")
_VISIBLE = 4.0  # standard deviations of the noise; filtered, it spans one or two


@dataclasses.dataclass(frozen=True)
class Untold:
    """held: the index of a number that the log cannot tell; mates: of those that it cannot be told
    from, none where nothing that was measured depends on it."""

    held: int
    mates: tuple[int, ...]


def still(recording: Recording) -> list[int]:
    """The joints that do not move visibly."""
    edge = round(0.1 / recording.dt)  # where filtered angles are noisier
    moved = np.ptp(recording.smooth[edge:-edge], axis=0)
    return [int(i) for i in np.flatnonzero(moved < _VISIBLE * recording.noise)]


def untold(
    information: Array, unknowns: Sequence[Unknown], still: Sequence[int] = ()
) -> list[Untold]:
    """The numbers to hold.

    information [p, p]: the inverse of the covariance, in their scales. still: indices that are not
    told in any case.
    """
    held = list(still)
    free = [i for i in range(len(unknowns)) if i not in held]
    # What each number does to the log, whatever its scale.
    size = np.sqrt(np.maximum(np.diag(information), 0.0))
    while free:
        values, vectors = np.linalg.eigh(information[np.ix_(free, free)])
        if values[0] > 0.0 and NORMAL / np.sqrt(values[0]) <= 1.0:
            break
        direction = np.abs(vectors[:, 0])
        share = direction * size[free]
        alone = int(np.argmax(direction))
        members = [free[alone]]
        if size[free[alone]] > NORMAL:
            members = [free[k] for k in np.flatnonzero(share >= _PART * share.max())]
        held.append(min(members, key=lambda i: (_rank(unknowns[i]), information[i, i])))
        free.remove(held[-1])
    return [
        Untold(each, () if each in still else _mates(information, size, each, free))
        for each in held
    ]


def _mates(information: Array, size: Array, held: int, free: list[int]) -> tuple[int, ...]:
    """What else explains what a held number does to the log, the most first."""
    if not free or size[held] <= NORMAL:
        return ()
    instead = np.linalg.solve(information[np.ix_(free, free)], information[free, held])
    share = np.abs(instead) * size[free] / size[held]
    return tuple(free[k] for k in np.argsort(-share) if share[k] >= _PART)


def _rank(each: Unknown) -> int:
    return _HELD_FIRST.index(each.kind)


def is_structural(each: Untold, unknowns: Sequence[Unknown]) -> bool:
    """Whether no motion would tell: a servo's damping and its joint's are one number, unless the
    servo's force is at its limit."""
    kinds = {unknowns[i].kind for i in (each.held, *each.mates)}
    joints = {unknowns[i].joint for i in (each.held, *each.mates)}
    return kinds == {"joint_damping", "servo_damping"} and len(joints) == 1


def reason(each: Untold, unknowns: Sequence[Unknown], arm: Arm, recording: Recording) -> str:
    """A sentence."""
    unknown = unknowns[each.held]
    names = " and ".join(unknowns[i].name for i in each.mates)
    start = f"the log cannot tell {unknown.name}"
    if is_structural(each, unknowns):
        return (
            f"{start} from {names}: only their sum moves the arm. No motion can, as long as the "
            "servo's force is within its limit."
        )
    end = ""
    if unknown.joint is not None:
        moved = float(np.ptp(recording.smooth[:, unknown.joint]))
        joint = arm.joints[unknown.joint]
        if moved < _STILL:
            end = f": {joint} hardly moves ({1000 * moved:.1f} mrad). Excite it"
        else:
            end = f": {joint} moves too little, too slowly or always alike. Excite it more"
    elif unknown.kind in ("payload", "gravity_error"):
        end = ": no joint that carries weight moves enough"
    elif unknown.kind == "delay":
        end = ": nothing moves fast enough"
    return f"{start}{f' from {names}' if names else ''}{end}."
