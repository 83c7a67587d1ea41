"""The log of a robot in an MCAP file.

A moment is a message with the angles of all joints, at the time at which it was recorded. What
comes at another rate is, at each moment, what was recorded last: never from later. The object's
pose also has an age, by the stamp in its header, which a camera sets when it takes the image.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from r2s_deploy.errors import DeployError
from r2s_deploy.log import Array, Log, check_speeds, check_time, missing, rate
from r2s_deploy.naming import FINGERS, Naming, listed
from r2s_deploy.recorded.gathered import Gathered, Series, gather
from r2s_deploy.recorded.mcap_file import Topic, topics

#: What topics are of, and those that are taken where none is said: the first that is there.
ROLES: Mapping[str, tuple[str, ...]] = {
    "joints": ("/joint_states", "/joint_state"),
    "fingers": ("/gripper/joint_states", "/franka_gripper/joint_states"),
    "object": ("/object_pose", "/object/pose"),
    "goal": ("/goal", "/goal_pose", "/goal_point"),
    "targets": ("/joint_commands", "/joint_command", "/joint_targets"),
}
_OF_CAMERAS = ("optical", "camera")  # in the names of frames (REP 103)
_SAME_CLOCK_S = 60.0


def read_mcap(path: Path, naming: Naming, named: Mapping[str, str] | None = None) -> Log:
    """Read a log. named: topics by what they are of, see `ROLES`.

    Raises `DeployError`, with the topics that there are, where one is missing or could be several,
    and where the file is damaged or a message is not what is read.
    """
    known = topics(path)
    chosen = _chosen(path, known, named or {})
    gathered = gather(path, chosen)
    _check_columns(path, naming, gathered)
    of_arm = naming.only(naming.joints)
    called = of_arm.find(gathered.names("joints"), f"{path}: {chosen['joints'].name}")
    arm = [called[joint] for joint in naming.joints]
    states, measured = _with_rates(gathered.joints("joints", arm))
    if len(states) < 2:
        raise DeployError(
            f"{path}: no two messages of {chosen['joints'].name} have all of {', '.join(arm)}"
        )
    others = {
        "fingers": _fingers(naming, gathered, arm),
        "object": gathered.poses(),
        "goal": gathered.goals(),
        "targets": _targets(of_arm, gathered, f"{path}: targets"),
    }
    others = {role: series for role, series in others.items() if len(series)}
    rows, late = _complete(path, states, others)
    time, n = states.times[rows], len(arm)
    check_time(time, f"{path}: {chosen['joints'].name}")
    if measured:
        check_speeds(states.values[rows, n:], naming.joints, f"{path}: {chosen['joints'].name}")
    at = {role: series.known(time) for role, series in others.items()}
    values = {role: series.values[at[role]] for role, series in others.items()}
    fingers = values.get("fingers", np.zeros((len(time), 4)))
    age, clocks = _ages(time, others.get("object"), at.get("object"))
    return Log(
        time=time - time[0],
        angles=states.values[rows, :n],
        velocities=states.values[rows, n:],
        fingers=fingers[:, :2],
        finger_velocities=fingers[:, 2:],
        object=values.get("object"),
        goal=values.get("goal"),
        targets=values.get("targets"),
        object_age=age,
        notes=(
            *naming.told(called),
            *_framed(path, gathered, chosen),
            *clocks,
            *late,
            *missing(measured, "fingers" in values),
        ),
        lacks=f"; or name its topic: --topic object=NAME goal=NAME; {path} has {_all(known)}",
    )


def _all(known: Mapping[str, Topic]) -> str:
    return listed(map(str, known.values()))


def _chosen(path: Path, known: Mapping[str, Topic], named: Mapping[str, str]) -> dict[str, Topic]:
    """The topic of each role that has one."""
    found: dict[str, Topic] = {}
    for role, name in named.items():
        if role not in ROLES:
            raise DeployError(f"there is no topic of {role}; what is read is {', '.join(ROLES)}")
        there = [each for each in (name, f"/{name}", name.removeprefix("/")) if each in known]
        if not there:
            raise DeployError(f"{path} has no topic {name}; it has {_all(known)}")
        found[role] = known[there[0]]
    for role, usual in ROLES.items():
        there = [name for name in usual if name in known]
        if role not in found and there:
            found[role] = known[there[0]]
    if "joints" not in found:
        taken = {topic.name for topic in found.values()}
        fit = [t for t in known.values() if t.type == "JointState" and t.name not in taken]
        if len(fit) != 1:
            raise DeployError(
                f"{path} has {'several topics' if fit else 'no topic'} of joint states that it "
                f"could be, none called {ROLES['joints'][0]}; say which: --topic joints=NAME. It "
                f"has {_all(known)}"
            )
        found["joints"] = fit[0]
    return found


def _check_columns(path: Path, naming: Naming, gathered: Gathered) -> None:
    """Raises `DeployError` where the user names what messages do not have."""
    there = [*gathered.names("joints"), *gathered.names("fingers")]
    for column, name in naming.chosen.items():
        if column not in (*naming.joints, *FINGERS):
            raise DeployError(
                f"{column} is no joint: of an MCAP file, joints and fingers have names, and the "
                "rest has topics (--topic)"
            )
        if name not in there:
            raise DeployError(f"{path}: no message has the joint {name}; they have {listed(there)}")


def _fingers(naming: Naming, gathered: Gathered, arm: Sequence[str]) -> Series:
    """Positions, then velocities, [N, 4], by messages of the gripper's own or with the joints."""
    for role in ("fingers", "joints"):
        if found := naming.find_fingers(gathered.names(role), arm):
            return _with_rates(gathered.joints(role, [found[name] for name in FINGERS]))[0]
    return Series.none(4)


def _targets(naming: Naming, gathered: Gathered, where: str) -> Series:
    names, n = gathered.names("targets"), len(naming.joints)
    if names:
        called = naming.find(names, where)
        return gathered.commanded([called[joint] for joint in naming.joints])
    found = gathered.commanded(())
    if len(found) and found.values.shape[1] != n:
        raise DeployError(
            f"{where} have {found.values.shape[1]} numbers without names, for {n} joints"
        )
    return found


def _with_rates(series: Series) -> tuple[Series, bool]:
    """Positions and velocities [N, 2 k], and whether velocities were measured: where they were not,
    they are differences of the positions, over the times by the stamps if these rise."""
    size = series.values.shape[1] // 2
    positions, velocities = series.values[:, :size], series.values[:, size:]
    if np.isfinite(velocities).all():
        return series, True
    rises = len(series) > 1 and bool((np.diff(series.stamps) > 0.0).all())
    clock = series.stamps if rises else series.times
    made = rate(positions, clock) if len(series) > 1 else np.zeros_like(positions)
    return dataclasses.replace(series, values=np.hstack([positions, made])), False


def _complete(
    path: Path, states: Series, others: Mapping[str, Series]
) -> tuple[Array, tuple[str, ...]]:
    """The moments from when everything was known, int[T], and what is said of those before."""
    if not others:
        return np.arange(len(states)), ()
    late = max(others, key=lambda role: others[role].times[0])
    rows = np.flatnonzero(states.times >= others[late].times[0])
    if len(rows) < 2:
        raise DeployError(f"{path}: its first message of {late} comes after the joints' last")
    if rows[0] == 0:
        return rows, ()
    left_out = states.times[rows[0]] - states.times[0]
    return rows, (f"its first {left_out:.2f} s are left out: it has no {late} then",)


def _ages(
    time: Array, poses: Series | None, at: Array | None
) -> tuple[Array | None, tuple[str, ...]]:
    """How old the object's poses were at moments [T], s, and what is said of it."""
    if poses is None or at is None:
        return None, ()
    taken, notes = poses.stamps, ()
    if not (np.abs(taken - poses.times) < _SAME_CLOCK_S).all():
        taken = poses.times
        notes = (
            "the stamps of the object's poses are not of the recording's clock: ages are from when "
            "each was recorded",
        )
    return time - np.minimum(taken, poses.times)[at], notes


def _framed(path: Path, gathered: Gathered, chosen: Mapping[str, Topic]) -> Iterator[str]:
    """What is said of frames; raises `DeployError` for those that cannot be the base's."""
    for role, frames in gathered.frames.items():
        named = sorted(frames - {""})
        if len(named) > 1:
            raise DeployError(
                f"{path}: {chosen[role].name} is in several frames, {', '.join(named)}; record it "
                "in the frame of the robot's base"
            )
        if named and any(word in named[0] for word in _OF_CAMERAS):
            raise DeployError(
                f"{path}: {chosen[role].name} is in the frame {named[0]}, a camera's; record it in "
                "the frame of the robot's base"
            )
        if named:
            yield (
                f"{chosen[role].name} is in the frame {named[0]}, which is taken for the robot's "
                "base"
            )
