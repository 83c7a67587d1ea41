"""Checks for those who connect a robot of their own."""

from __future__ import annotations

import numpy as np

from r2s_deploy.arm import Fingers
from r2s_deploy.robot import Robot

_CYCLES = 50
_STILL = 0.02  # rad, that an arm may sag while it is told to stay


def check_robot(robot: Robot, joints: int, fingers: Fingers | None = None) -> None:
    """That a robot of so many joints does what `r2s_deploy.robot.Robot` says; it is told to stay
    where it is, and its gripper to open where `fingers` are given.

    Raises `AssertionError` with what is wrong, and what the robot raises.
    """
    assert 0.0 < robot.cycle_s <= 0.1, f"cycle_s is {robot.cycle_s}; give the seconds of a cycle"
    first = robot.read()
    first.check(joints)
    again = robot.read()
    again.check(joints)
    assert again.time_s >= first.time_s, "time_s runs backwards"
    finger = 0.0 if fingers is None else fingers.opened
    state = first
    for _ in range(_CYCLES):
        before, state = state, robot.cycle(first.angles.copy(), finger)
        state.check(joints)
        # One that makes up for time that was lost may measure nothing new in a cycle.
        assert state.time_s >= before.time_s, "time_s runs backwards"
        off = float(np.abs(state.angles - first.angles).max())
        assert off < _STILL, f"told to stay, a joint moved by {off:.3f} rad"
    took = (state.time_s - first.time_s) / _CYCLES
    assert took > 0.3 * robot.cycle_s, f"time_s does not rise with the cycles, but by {took:.4f} s"
    assert took < 3.0 * robot.cycle_s, f"a cycle took {took:.4f} s, and cycle_s is {robot.cycle_s}"
    if fingers is not None:
        low, high = float(fingers.table[0, 0]), float(fingers.table[-1, 0])
        beyond, found = 0.1 * (high - low), float(np.mean(state.fingers))
        assert low - beyond < found < high + beyond, (
            f"fingers are {state.fingers}, outside of {low:.3f} to {high:.3f}: are they in the "
            "units of the bundle's robot.json?"
        )
    robot.stop()
    robot.stop()  # which may come twice
    robot.read().check(joints)
