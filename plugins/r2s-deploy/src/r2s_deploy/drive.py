"""`r2s-deploy run`: a bundle on the robot of a cell."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from r2s_deploy import cell as cells
from r2s_deploy.bundle import Bundle, Starts, load
from r2s_deploy.cell import SIMULATED
from r2s_deploy.dead_man import Permission, permission
from r2s_deploy.episode import Run
from r2s_deploy.equip import Cameras, place, poses
from r2s_deploy.errors import DeployError
from r2s_deploy.hand import HandTrack
from r2s_deploy.log import write_csv
from r2s_deploy.loop import Runner
from r2s_deploy.png import write_png
from r2s_deploy.robots import open_robot
from r2s_deploy.transform import Transform

Array = np.ndarray
_REACH = 3.0  # m, which no arm that is meant here has
_NEAR_READY = 0.15  # rad, of each joint, beyond what training began with


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("cell", type=Path, metavar="CELL.toml", help="see r2s_deploy.cell")
    parser.add_argument("--goal", type=float, nargs=3, required=True, metavar=("X", "Y", "Z"))
    parser.add_argument(
        "--object",
        type=float,
        nargs="+",
        metavar="N",
        help="its pose, entered by hand: X Y Z, m, or X Y Z QW QX QY QZ, in the base's frame",
    )
    parser.add_argument(
        "--arm", action="store_true", help="let it move; without, it tells what it would do"
    )
    parser.add_argument("--speed", type=float, default=0.1, help="share of full speed (0.1)")
    parser.add_argument(
        "--to-ready",
        action="store_true",
        help="first move the joints straight to where episodes start: clear the way",
    )
    parser.add_argument("--steps", type=_whole, metavar="N", help="control steps (an episode's)")
    parser.add_argument("--path", choices=("filter", "ruckig"), default="filter")
    parser.add_argument("--log", type=Path, metavar="FILE.csv", help="what was measured and done")
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="keep the first images that the policy saw"
    )
    parser.add_argument(
        "--no-key", action="store_true", help="without a dead-man key: the simulated robot alone"
    )
    parser.add_argument("--allow-privileged", action="store_true", help="as for rehearse")


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def run(args: argparse.Namespace) -> None:
    """Raises `DeployError` where it is refused, or was stopped."""
    bundle, cell = load(args.bundle), cells.load(args.cell)
    if bundle.privileged and not args.allow_privileged:
        raise DeployError(
            f"{args.bundle}: the policy reads what no robot measures: "
            f"{', '.join(bundle.privileged)}. They are guessed with --allow-privileged."
        )
    if args.log is not None and (args.log.is_dir() or not args.log.parent.is_dir()):
        raise DeployError(
            f"--log {args.log} cannot be written: name a file in a folder that exists"
        )
    if not np.abs(args.goal).max() < _REACH:
        raise DeployError(
            f"--goal is {args.goal}; give three numbers in m, of a place within reach"
        )
    if args.no_key and cell.kind != SIMULATED:
        raise DeployError("--no-key is for the simulated robot: a real one needs the dead-man key")
    if args.object is not None:
        thing = dataclasses.replace(cell.thing, pose="entered", entered=_entered(args.object))
        cell = dataclasses.replace(cell, thing=thing)
    with contextlib.ExitStack() as stack:
        robot = open_robot(cell, bundle, args.speed)
        stack.callback(robot.close)
        place(robot, cell, bundle)
        track = HandTrack(bundle.law.arm)
        cameras = Cameras(bundle, cell, robot, track, stack)
        allowed = stack.enter_context(permission(with_key=args.arm and not args.no_key))
        runner = Runner(
            bundle,
            robot,
            poses(cell, robot, cameras),
            goal=np.array(args.goal),
            speed=args.speed,
            guard=cell.guard,
            object_name=cell.thing.name,
            cameras=cameras.eyes(),
            path=args.path,
            dead_man=allowed.check,
            on_state=lambda state: track.add(time.monotonic(), state.angles),
        )
        _tell_start(args, bundle)
        if cell.thing.entered is not None and bundle.starts is not None:
            _tell_place(cell.thing.entered, bundle.starts)
        made = _move(args, bundle, robot, runner, allowed) if args.arm else runner.look()
        ended = _ended(robot, made) if args.arm else None
    for line in _lines(args, bundle, made):
        print(line)
    if ended is not None:
        print(_verdict(ended, np.array(args.goal), bundle))
    problem = _keep(args, bundle, made)
    if made.stopped:
        also = f" ({problem})" if problem else ""
        raise DeployError(f"stopped after {made.steps} control steps: {made.stopped}{also}")
    if problem:
        raise DeployError(problem)


def _entered(values: list[float]) -> Transform:
    if len(values) not in (3, 7):
        raise DeployError(f"--object takes 3 or 7 numbers, not {len(values)}")
    return Transform.of(values[:3], values[3:] or (1.0, 0.0, 0.0, 0.0))


def _tell_start(args: argparse.Namespace, bundle: Bundle) -> None:
    starts, goal = bundle.starts, np.array(args.goal)
    if starts is not None and ((goal < starts.goal_low) | (goal > starts.goal_high)).any():
        print(
            f"note: the goal is outside of where training's were, {_box(starts.goal_low)} to "
            f"{_box(starts.goal_high)} m"
        )


def _tell_place(entered: Transform, starts: Starts) -> None:
    place = entered.translation[:2]
    low, high = starts.object_low[:2], starts.object_high[:2]
    if ((place < low) | (place > high)).any():
        print(
            f"note: the object is outside of where training's were, {_box(low)} to {_box(high)} m"
        )


def _ended(robot: Any, made: Run) -> Array | None:
    """Where the object is at the end: as a simulated robot knows, or as it was last seen."""
    if hasattr(robot, "object_pose"):
        with contextlib.suppress(DeployError):
            return robot.object_pose()[0]
    if made.log is None or made.log.object is None:
        return None
    return made.log.object[-1, :3]


def _verdict(place: Array, goal: Array, bundle: Bundle) -> str:
    away = float(np.linalg.norm(place - goal))
    told = f"at the end the object is {1000 * away:.0f} mm from the goal"
    if bundle.starts is None:
        return told
    radius = bundle.starts.radius
    return f"{told}: {'a success' if away < radius else 'NO success'} ({1000 * radius:.0f} mm)"


def _box(corner: Array) -> str:
    return "(" + ", ".join(f"{x:.2f}" for x in corner) + ")"


def _move(
    args: argparse.Namespace, bundle: Bundle, robot: Any, runner: Runner, allowed: Permission
) -> Run:
    ready = np.array(bundle.robot["joints"]["ready"])
    off = np.abs(robot.read().angles - ready)
    near = _NEAR_READY + (bundle.starts.arm_noise if bundle.starts else 0.0)
    if off.max() > near and not args.to_ready:
        name = bundle.robot["joints"]["names"][int(off.argmax())]
        raise DeployError(
            f"{name} is {off.max():.2f} rad from where episodes start; clear the way and add "
            "--to-ready, which moves all joints there, straight"
        )
    share = f"{100 * args.speed:g} % of full speed"
    if allowed.key is not None:
        print(f"hold the space bar: the robot moves at {share} while it is held", flush=True)
        allowed.wait()
    if args.to_ready and (why := runner.go_to(ready)):
        raise DeployError(f"stopped on the way to where episodes start: {why}")
    return runner.run(args.steps)


def _keep(args: argparse.Namespace, bundle: Bundle, made: Run) -> str:
    """Write what was asked for; returns what could not be written."""
    where = args.log
    try:
        if args.log is not None and made.log is not None:
            write_csv(args.log, made.log, bundle.robot["joints"]["names"])
            print(f"log: {args.log}")
        if args.images is not None:
            where = args.images
            args.images.mkdir(parents=True, exist_ok=True)
            for name, image in made.images.items():
                plain = "".join(c if c.isalnum() or c in "_-" else "_" for c in name)
                write_png(args.images / f"{plain}.png", image)
            print(f"images: {args.images}")
    except OSError as error:
        return f"{where} cannot be written: {error.strerror}"
    return ""


def _lines(args: argparse.Namespace, bundle: Bundle, made: Run) -> Iterator[str]:
    names = bundle.robot["joints"]["names"]
    unlike = sorted(made.farthest.items(), key=lambda item: -item[1])[:3]
    if unlike:
        told = ", ".join(f"{name} {value:.1f}" for name, value in unlike)
        yield f"standard deviations from training, the most: {told}"
    if made.log is not None and not args.arm:
        assert made.log.targets is not None
        step = made.log.targets[0] - made.log.angles[0]
        worst = int(np.abs(step).argmax())
        yield f"it would first move {names[worst]} by {step[worst]:+.3f} rad, the others by less"
        yield "nothing was moved; --arm lets it"
    if len(made.decide_s):
        yield f"from a measurement to the joints' targets: {_percentiles(made.decide_s)}"
    if len(made.cycle_s):
        yield f"the robot's cycles: {_percentiles(made.cycle_s)}"
    if made.carried:
        yield f"{made.carried} control steps with the object's pose taken from the hand's"
    if args.arm and not made.stopped:
        yield f"{made.steps} control steps; it holds where it is"


def _percentiles(seconds: Array) -> str:
    middle, late, longest = 1000 * np.quantile(seconds, [0.5, 0.99, 1.0])
    return f"{middle:.2f} ms, 99 % within {late:.2f} ms, the longest {longest:.2f} ms"
