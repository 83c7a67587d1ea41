"""A log that is fit for identification, or the sentence that says why it is not."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
from scipy.signal import savgol_filter

from r2s_core.errors import R2SError
from r2s_deploy.errors import DeployError
from r2s_deploy.log import Log, read_csv
from r2s_deploy.naming import Naming, listed
from r2s_identify.arm import Arm

Array = np.ndarray
SHORTEST, LONGEST = 2.0, 60.0  # s; a minute takes a gigabyte
SLOWEST = 0.0101  # s between lines
_SMOOTH = 0.04  # s, of the filter for derivatives
_UNEVEN = 0.1  # of the time between lines


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """T moments, evenly spaced.

    dt s. angles, targets [T, n], rad. smooth, velocities [T, n]: filtered without lag, to start
    rollouts from; the fit itself compares with `angles`. Recorded velocities are not used: on many
    robots they are filtered, and their lag would pass for a delay.
    noise [n], rad: of the measurement, from what no motion of the arm explains.
    fingers: what was commanded [T], or None. log: all of it. ignored: columns that are not in it.
    """

    dt: float
    angles: Array
    targets: Array
    smooth: Array
    velocities: Array
    noise: Array
    fingers: Array | None
    log: Log
    ignored: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.angles)

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.dt * len(self)


def read(path: Path, arm: Arm) -> Recording:
    """Read a log; raises `R2SError`."""
    try:
        log = read_csv(path, arm.joints)
    except DeployError as error:
        raise R2SError(str(error)) from error
    return recording_of(log, str(path), _ignored(path, arm))


def recording_of(log: Log, name: str, ignored: tuple[str, ...] = ()) -> Recording:
    """Of a log in memory; name: for messages. ignored: columns of its file."""
    if log.targets is None:
        has = f"; it has {listed(ignored)} besides" if ignored else ""
        raise R2SError(
            f"{name} does not say what was commanded: it needs a column NAME_target for each joint"
            f"{has}."
        )
    gaps = np.diff(log.time)
    dt = float(np.median(gaps))
    if (off := np.abs(gaps - dt) > _UNEVEN * dt).any():
        at = int(np.argmax(off))
        raise R2SError(
            f"{name}: time is not even: lines are {1000 * dt:.3g} ms apart, but "
            f"{1000 * gaps[at]:.3g} ms at {log.time[at]:.3f} s. Record one line for each cycle of "
            "the robot, or cut the log there."
        )
    if dt > SLOWEST:
        raise R2SError(
            f"{name} has a line every {1000 * dt:.3g} ms; servos answer faster than that. Record "
            "100 lines a second or more, best one for each cycle of the robot."
        )
    dt = float(log.time[-1] - log.time[0]) / (len(log.time) - 1)
    if dt * len(log) < SHORTEST:
        raise R2SError(
            f"{name} is {dt * len(log):.2f} s long; identification needs {SHORTEST:g} s at least, "
            "and tells much more from 20."
        )
    if dt * len(log) > LONGEST:
        raise R2SError(
            f"{name} is {dt * len(log):.0f} s long; identification takes {LONGEST:g} s at most. "
            "Cut out a part in which all joints move."
        )
    return Recording(
        dt=dt,
        angles=log.angles,
        targets=log.targets,
        smooth=smoothed(log.angles, dt, _SMOOTH),
        velocities=smoothed(log.angles, dt, _SMOOTH, order=1),
        noise=_noise(log.angles),
        fingers=log.finger_target,
        log=log,
        ignored=ignored,
    )


def smoothed(values: Array, dt: float, width_s: float, order: int = 0) -> Array:
    """Values [T, k], or their derivative of an order, filtered without lag."""
    width = max(5, 2 * round(width_s / dt / 2) + 1)
    return np.asarray(savgol_filter(values, width, 3, deriv=order, delta=dt, axis=0))


def _noise(angles: Array) -> Array:
    """Standard deviation of white noise [n], from fourth differences, in which motion vanishes."""
    fourth = np.diff(angles, 4, axis=0)
    white = np.sqrt((fourth**2).mean(axis=0) / 70.0)
    steps = np.abs(np.diff(angles, axis=0))
    # An encoder at rest repeats itself: its error is then that of rounding.
    smallest = np.where(steps > 1e-12, steps, np.inf).min(axis=0)
    rounding = np.where(np.isfinite(smallest), smallest, 0.0) / np.sqrt(12.0)
    return np.maximum(np.maximum(white, rounding), 1e-7)


def _ignored(path: Path, arm: Arm) -> tuple[str, ...]:
    """The columns that are of no use here."""
    with path.open(newline="") as file:
        names = [name.strip() for name in next(csv.reader(file), [])]
    used = Naming(arm.joints).find(names, str(path)).values()
    return tuple(name for name in names if name not in used)
