"""The Franka Hand, from threads of its own: its commands take up to a second, the arm's cycle 1 ms.

This has not touched hardware, see `r2s_deploy.franka`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from r2s_deploy.robot import RobotError

Array = np.ndarray
#: Of the width, m/s, as fast as it goes: the loop takes a gripper not to be slowed with the arm,
#: and one that is slow for one that holds something.
_SPEED = 0.1
_STALE_S = 1.0  # it tells its width some ten times a second
_HOMED = 0.01  # m; a hand that was not homed does not know how far it opens


class Hand:
    """Opens to a width, or grasps with a force, and tells how far apart the fingers are.

    A policy gives a target of its training's fingers. One that is less than half open means
    "closed", which on a real hand is a grasp: it closes until something stops it, at any width, and
    keeps pressing. Any other is a width to open to. A new command ends the one in progress.
    """

    def __init__(self, gripper: Any, force_n: float, explain: Callable[[Exception], str]) -> None:
        """gripper: `franka.Gripper`. explain: makes a sentence of one of its errors.

        Raises `RobotError` where the hand was not homed.
        """
        self._gripper: Any = gripper
        self._force, self._explain = force_n, explain
        first = gripper.read_once()
        if not first.max_width > _HOMED:
            raise RobotError("the hand does not know how far it opens: home it in Desk")
        self.max_width = float(first.max_width)
        #: When by our clock, when by the hand's, its width, m, and how fast that changes, m/s.
        self._seen = time.monotonic(), first.time, first.width, 0.0
        self._change = threading.Condition()
        #: Widths, m, 0 for a grasp: what is to be, what is under way, and what was reached.
        self._wanted: float | None = None
        self._doing: float | None = None
        self._done: float | None = None
        self._failed, self._closing = "", False
        self._threads = [
            threading.Thread(target=work, name=f"franka hand: {work.__name__}", daemon=True)
            for work in (self._watch, self._obey)
        ]
        for thread in self._threads:
            thread.start()

    def command(self, finger_target: float) -> None:
        """Of one finger, m, as in training: half of the width to open to. Waits for nothing."""
        closed = 4.0 * finger_target < self.max_width
        wanted = 0.0 if closed else min(2.0 * finger_target, self.max_width)
        if wanted != self._wanted:
            with self._change:
                self._wanted = wanted
                self._change.notify_all()

    def read(self) -> tuple[Array, Array]:
        """Positions [2], m, half the width each, and velocities [2], m/s, of the fingers.

        Raises `RobotError` where the hand failed or fell silent.
        """
        if self._failed:
            raise RobotError(self._failed)
        at, _, width, velocity = self._seen
        if time.monotonic() - at > _STALE_S:
            raise RobotError(f"the hand has not told its width for {_STALE_S:g} s: see its cable")
        return np.full(2, 0.5 * width), np.full(2, 0.5 * velocity)

    def halt(self) -> None:
        """End a motion that is under way; what is held stays held."""
        with self._change:
            self._wanted = self._done if self._doing is None else None

    def close(self) -> None:
        """End a motion that is under way, the threads, and the connection."""
        self.halt()
        with self._change:
            self._closing = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join(2.0)
        self._gripper = None  # which disconnects

    def _watch(self) -> None:
        """Read the width for ever, and end a command that is no longer wanted."""
        while True:
            with self._change:
                outdated = self._doing is not None and self._doing != self._wanted
                if self._closing and not outdated:
                    return
            try:
                if outdated:
                    self._gripper.stop()
                state = self._gripper.read_once()
            except Exception as error:  # of the library, whose classes this file does not know
                self._fail(error)
                return
            before, told, width, _ = self._seen
            now = time.monotonic()
            # By the clock that saw more of it: states may arrive in a heap, and there are hands
            # whose clock counts states.
            passed = max(now - before, state.time - told)
            self._seen = now, state.time, state.width, (state.width - width) / passed

    def _obey(self) -> None:
        """Carry out what is wanted, one command after another."""
        while True:
            with self._change:
                self._change.wait_for(self._has_work)
                if self._closing:
                    return
                self._doing = wanted = self._wanted
            try:
                if wanted:
                    self._gripper.move(wanted, _SPEED)
                else:  # at any width, so that it is no failure to hold something, or nothing
                    self._gripper.grasp(0.0, _SPEED, self._force, self.max_width, self.max_width)
            except Exception as error:
                if self._wanted == wanted:  # otherwise it was ended for another command
                    self._fail(error)
                    return
            with self._change:
                self._doing = None
                self._done = wanted if self._wanted == wanted else None

    def _has_work(self) -> bool:
        return self._closing or (self._wanted is not None and self._wanted != self._done)

    def _fail(self, error: Exception) -> None:
        with self._change:
            self._doing = None
        if not self._closing:
            self._failed = f"the hand failed: {self._explain(error)}"
