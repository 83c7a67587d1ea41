"""What `r2s identify` does."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from mujoco import sysid

from r2s_core.errors import ConfigError, R2SError
from r2s_core.suggest import did_you_mean
from r2s_core.system import files
from r2s_core.system.text import printable
from r2s_deploy.errors import DeployError
from r2s_deploy.log import Log, read_csv, write_csv
from r2s_deploy.naming import listed
from r2s_identify import grasp, told, write
from r2s_identify.arm import TIMESTEP, Arm, arm_of
from r2s_identify.excitation import Excitation, excitation, objection
from r2s_identify.identify import Result, misfits
from r2s_identify.identify import identify as fit
from r2s_identify.propose import as_log, proposal
from r2s_identify.record import Noise, drawn, record, write_scene
from r2s_identify.recording import Recording, read


def excite(args: argparse.Namespace) -> None:
    """Record a log on the simulated robot."""
    arm = arm_of(args.excite)
    joints = _joints(arm, args.joints)
    if args.targets is None:
        motion = excitation(arm, args.seconds, TIMESTEP, joints)
    else:
        motion = _motion(args.targets, arm)
        if why := objection(arm, motion):
            raise R2SError(f"{args.targets}: the arm is not sent along it: {why}.")
    hidden = drawn(arm, args.unknown_seed, joints, args.payload)
    noise = Noise(args.angle_noise, args.velocity_noise, args.quantum)
    with tempfile.TemporaryDirectory() as folder:
        scene = args.scene or write_scene(arm, Path(folder) / "scene.xml")
        log = record(arm, scene, motion, hidden, noise, args.unknown_seed)
    _save(args.output, log, arm)
    if args.truth is not None:
        try:
            files.write_json(args.truth, hidden.values(arm, TIMESTEP))
        except OSError as error:
            raise R2SError(f"{args.truth} cannot be written: {error.strerror or error}.") from error
    print(f"{printable(args.output)}: {len(log):,} lines, {log.time[-1]:.1f} s of {arm.name}")


def identify(args: argparse.Namespace) -> None:
    """Fit a log, say what it tells and what it does not, and write the randomizers."""
    _check_installed()
    arm = arm_of(args.config)
    joints, recording = _joints(arm, args.joints), read(args.log, arm)
    arm, held = _with_object(arm, recording, args.object_held)
    for note in (*recording.log.notes, *_unread(recording)):
        _say(f"{printable(args.log)}: {note}")
    threads = args.threads or _cores()
    result = fit(arm, recording, joints, threads=threads, say=_say)
    warnings = misfits(result)
    print(*write.table(result), sep="\n")
    for each in result.untold:
        print(f"NOT TOLD: {told.reason(each, result.unknowns, arm, recording)}")
    if held is None:
        print(
            "NOT TOLD: the log cannot tell an object's mass: none is in the hand all the time (the "
            "gripper's target closed and the object's pose moving with it, or --object-held NAME)."
        )
    for sentence in warnings:
        print(f"WARNING: {sentence}.")
    text = write.fragment(arm, result, held, args.log.name)
    for sentence in write.block(arm, result, held)[1]:
        print(f"NOTE: {sentence}.")
    write.write(args.output, text)
    print(f"{printable(args.output)}: a `randomization:` block of these intervals")
    _propose(args.propose, result, joints)


def _check_installed() -> None:
    """`mujoco.sysid` imports without the packages that it needs, and is empty then."""
    if not hasattr(sysid, "optimize"):
        raise R2SError("identification needs more than MuJoCo itself: pip install 'mujoco[sysid]'.")


def _unread(recording: Recording) -> tuple[str, ...]:
    return (f"not read: {listed(recording.ignored)}",) * bool(recording.ignored)


def _propose(path: Path | None, result: Result, joints: list[int]) -> None:
    arm, unknowns = result.problem.arm, result.unknowns
    open_ = [each for each in result.untold if not told.is_structural(each, unknowns)]
    if path is None:
        if open_:
            print("A motion that would tell more: add --propose next.csv.")
        return
    _say("looking for a motion that would tell more")
    motion, names = proposal(result, joints)
    _save(path, as_log(motion), arm)
    would = f"would tell {', '.join(names)}" if names else "would tell no more by name"
    print(f"{printable(path)}: targets of {motion.time[-1]:.1f} s for {arm.name}; they {would}")


def _with_object(arm: Arm, recording: Recording, name: str | None) -> tuple[Arm, str | None]:
    """The arm, its payload where the object is in the hand, and the name of that object."""
    if name is not None and name not in arm.masses:
        raise ConfigError(
            f"--object-held {name}: the configuration has no such object"
            f"{did_you_mean(name, arm.masses)}; it has {', '.join(arm.masses)}"
        )
    place = grasp.in_hand(arm, recording)
    if place is not None:
        if name is None and len(arm.masses) > 1:
            raise ConfigError(
                f"which object is in the hand? Say it with --object-held: {', '.join(arm.masses)}"
            )
        return grasp.with_load_at(arm, place), name or next(iter(arm.masses))
    return arm, name


def _joints(arm: Arm, names: list[str] | None) -> list[int]:
    if names is None:
        return list(range(arm.size))
    for name in names:
        if name not in arm.joints:
            raise ConfigError(
                f"--joints: {arm.name} has no {name}{did_you_mean(name, arm.joints)}; it has "
                f"{', '.join(arm.joints)}"
            )
    return sorted({arm.joints.index(name) for name in names})


def _motion(path: Path, arm: Arm) -> Excitation:
    try:
        log = read_csv(path, arm.joints)
    except DeployError as error:
        raise R2SError(str(error)) from error
    if log.targets is None:
        raise R2SError(f"{path} has no targets: it needs a column NAME_target for each joint.")
    if np.abs(np.diff(log.time) - TIMESTEP).max() > 0.01 * TIMESTEP:
        raise R2SError(f"{path}: the simulated robot needs a target every {1000 * TIMESTEP:g} ms.")
    if np.abs(log.targets[0] - arm.centre).max() > 1e-6:
        raise R2SError(f"{path}: the motion does not begin where {arm.name} is at home.")
    return Excitation(log.time, log.targets)


def _save(path: Path, log: Log, arm: Arm) -> None:
    """Replace a file at once."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            write_csv(Path(folder) / "log.csv", log, arm.joints)
            files.write_bytes(path, (Path(folder) / "log.csv").read_bytes())
    except OSError as error:
        raise R2SError(f"{path} cannot be written: {error.strerror or error}.") from error


def _say(sentence: str) -> None:
    print(f"{sentence} ...", file=sys.stderr, flush=True)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
