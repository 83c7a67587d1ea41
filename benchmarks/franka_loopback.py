"""r2s-deploy's Franka adapter against a server that speaks the Franka's network protocol, on this
computer: `python benchmarks/franka_loopback.py VENV [--bundle BUNDLE]` (Linux; minutes).

VENV: a folder for the server's own environment, which is made there the first time: franka-sim,
which pins an old NumPy and MuJoCo, and the arm's model out of franky-sim. The server aborts motions
whose commands jump or come too late, as a robot does; it knows no contact forces.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import pty
import signal
import subprocess
import sys
import time
import venv
import xml.etree.ElementTree as xml
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from r2s_deploy.arm import Fingers
from r2s_deploy.franka import FrankaRobot
from r2s_deploy.robot import RobotError
from r2s_deploy.smooth import Limits, Smoother
from r2s_deploy.testing import check_robot

Array = np.ndarray
ADDRESS = "127.0.0.1"
OBJECT_M = 0.04  # between the fingers
SERVER = """
import sys
from franka_sim.franka_sim_server import FrankaSimServer
FrankaSimServer(
    host="127.0.0.1", gripper_physics=True, gripper_object_width=float(sys.argv[1]),
    enforce_comm_constraints=True, enforce_motion_limits=True,
).start()
"""
HAND = """<mujoco model="hand"><worldbody><body name="hand">
  <inertial mass="0.73" pos="-0.01 0 0.03" diaginertia="0.001 0.0025 0.0017"/>
  <body name="left_finger" pos="0 0 0.0584">
    <joint name="finger_joint1" type="slide" axis="0 1 0" range="0 0.04" damping="10"/>
    <geom type="box" size="0.0085 0.004 0.0085" pos="0 0.0055 0.0445" mass="0.015"/>
  </body>
  <body name="right_finger" pos="0 0 0.0584" quat="0 0 0 1">
    <joint name="finger_joint2" type="slide" axis="0 1 0" range="0 0.04" damping="10"/>
    <geom type="box" size="0.0085 0.004 0.0085" pos="0 0.0055 0.0445" mass="0.015"/>
  </body>
</body></worldbody></mujoco>"""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the server's Python and its models are."""

    python: Path
    arm: Path
    hand: Path


def prepare(folder: Path) -> Place:
    """The server's environment, made where it is missing."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    install = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, "franka-sim"], check=True)
    subprocess.run([*install, "--no-deps", "franky-sim"], check=True)
    told = (
        "import importlib.util as u; print(u.find_spec('franky_sim').submodule_search_locations[0])"
    )
    found = subprocess.run([str(python), "-c", told], check=True, capture_output=True, text=True)
    assets = Path(found.stdout.strip()) / "assets"
    tree = xml.parse(assets / "fr3.xml")
    root = tree.getroot()
    for compiler in root.iter("compiler"):
        compiler.set("meshdir", str(assets / "meshes"))
    for link in root.iter("body"):  # the server attaches a hand by itself
        for hand in [child for child in link if child.get("name") == "hand"]:
            link.remove(hand)
    for kind in ("actuator", "tendon", "equality", "keyframe"):
        for part in root.findall(kind):
            root.remove(part)
    place = Place(python, folder / "fr3_arm.xml", folder / "hand.xml")
    tree.write(place.arm)
    place.hand.write_text(HAND)
    return place


@contextmanager
def server(place: Place) -> Iterator[subprocess.Popen[bytes]]:
    """A robot at `ADDRESS`, until the end of the `with` statement."""
    models = {"FR3_MJCF": str(place.arm), "FRANKA_HAND_MJCF": str(place.hand)}
    log = place.arm.with_name("server.log")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(place.python), "-c", SERVER, str(OBJECT_M)],
            env={**os.environ, **models},
            stdout=out,
            stderr=out,
        )
    try:
        end = time.monotonic() + 60.0
        while True:
            try:
                connect().close()
                break
            except RobotError as error:
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"the server does not start, see {log}: {error}") from error
                time.sleep(0.5)
        time.sleep(1.5)  # it takes one client after another
        yield process
    finally:
        process.kill()
        process.wait()


def connect(speed: float = 0.1) -> FrankaRobot:
    """timeout_s: the server shares two cores with this program and whatever else runs."""
    return FrankaRobot(ADDRESS, speed=speed, hand_kg=0.0, timeout_s=0.3, realtime=False)


def smoother(robot: FrankaRobot, speed: float, start: Array) -> Smoother:
    ones, model = np.ones(7), robot.model
    slowest = np.array([2.175] * 4 + [2.61] * 3)  # of both models
    limits = Limits(slowest, 10.0 * ones, 5000.0 * ones, model.low, model.high, speed)
    return Smoother(limits, robot.cycle_s, start)


@dataclasses.dataclass
class Drive:
    """What a motion was like. periods [n], s, of the cycles; lags [n], s worth of rad."""

    periods: list[float] = dataclasses.field(default_factory=list)
    behind: list[float] = dataclasses.field(default_factory=list)
    widths: list[float] = dataclasses.field(default_factory=list)

    def follow(
        self,
        robot: FrankaRobot,
        smooth: Smoother,
        goal: Callable[[float], Array],
        seconds: float,
        finger: float = 0.04,
    ) -> Array:
        """The angles [7] in the end."""
        last = time.perf_counter()
        angles = smooth.position
        for i in range(round(seconds / robot.cycle_s)):
            state = robot.cycle(smooth.step(goal(i * robot.cycle_s)), finger)
            now = time.perf_counter()
            self.periods.append(now - last)
            last, angles = now, state.angles
            self.behind.append(float(np.abs(state.angles - smooth.position).max()))
            self.widths.append(float(state.fingers.sum()))
        return angles

    def told(self) -> str:
        p50, p99, most = 1000 * np.percentile(self.periods, [50, 99, 100])
        return (
            f"{len(self.periods)} cycles, period p50 {p50:.2f}, p99 {p99:.2f}, max {most:.2f} ms; "
            f"behind by {1000 * max(self.behind):.1f} mrad at most"
        )


def checked(robot: FrankaRobot) -> str:
    check_robot(robot, 7, Fingers(-0.02, 0.04, 0.08, np.array([[0.0, 0.0], [0.04, 0.08]])))
    return "it does what the loop relies on"


def each_joint(robot: FrankaRobot) -> str:
    start = robot.read().angles
    drive, smooth = Drive(), smoother(robot, 0.1, start)
    off = []
    for i in range(7):
        for goal in (start + 0.05 * np.eye(7)[i], start):
            angles = drive.follow(robot, smooth, lambda _, goal=goal: goal, 0.8)
            off.append(np.abs(angles - goal).max())
    robot.stop()
    assert max(off) < 0.01, f"{max(off):.4f} rad from where a joint was sent"
    return f"{drive.told()}; each joint arrives within {1000 * max(off):.1f} mrad"


def trajectory(robot: FrankaRobot, speed: float, seconds: float = 8.0) -> str:
    start = robot.read().angles
    drive, smooth, phases = Drive(), smoother(robot, speed, start), np.arange(7)
    swing = np.array([0.4, 0.2, 0.3, 0.3, 0.4, 0.3, 0.5])

    def goal(t: float) -> Array:
        return start + swing * (np.sin(2.0 * speed * t + phases) - np.sin(phases))

    drive.follow(robot, smooth, goal, seconds)
    robot.stop()
    return drive.told()


def hand(robot: FrankaRobot) -> str:
    start = robot.read().angles
    drive, smooth = Drive(), smoother(robot, 0.1, start)

    def hold(_: float) -> Array:
        return start

    drive.follow(robot, smooth, hold, 2.0, finger=0.04)
    opened = drive.widths[-1]
    drive.follow(robot, smooth, hold, 3.0, finger=-0.02)
    held = drive.widths[-1]
    drive.follow(robot, smooth, hold, 0.1, finger=0.04)
    drive.follow(robot, smooth, hold, 0.1, finger=-0.02)  # another command before it is open
    drive.follow(robot, smooth, hold, 3.0, finger=0.04)
    again = drive.widths[-1]
    robot.stop()
    assert opened > 0.075, f"open, the fingers are {opened:.3f} m apart"
    assert abs(held - OBJECT_M) < 0.005, f"holding, the fingers are {held:.3f} m apart"
    assert again > 0.075, f"opened again, the fingers are {again:.3f} m apart"
    return (
        f"open {1000 * opened:.0f}, holding {1000 * held:.0f}, open {1000 * again:.0f} mm; "
        + drive.told()
    )


def stalled(robot: FrankaRobot) -> str:
    """What the robot says where this program gets no time for longer than it bears."""
    start = robot.read().angles
    smooth, drive = smoother(robot, 0.1, start), Drive()

    def goal(t: float) -> Array:
        return start + 0.2 * np.sin(t)

    drive.follow(robot, smooth, goal, 1.0)
    me = os.getpid()
    subprocess.Popen(["sh", "-c", f"kill -STOP {me}; sleep 0.2; kill -CONT {me}"])
    told = error_of(lambda: drive.follow(robot, smooth, goal, 2.0))
    robot.stop()
    start = robot.read().angles
    again = error_of(lambda: robot.cycle(start, 0.04))
    robot.recover()
    robot.cycle(start, 0.04)
    robot.stop()
    return f"{told} | the next motion: {again} | after recover() it moves"


def error_of(call: Callable[[], object]) -> str:
    try:
        call()
    except RobotError as error:
        return str(error)
    raise AssertionError("no error was told")


def disturbed(robot: FrankaRobot, process: subprocess.Popen[bytes], by: signal.Signals) -> str:
    """What is told where the server stops answering in the middle of a motion."""
    start = robot.read().angles
    smooth, drive = smoother(robot, 0.1, start), Drive()

    def goal(t: float) -> Array:
        return start + 0.2 * np.sin(t)

    drive.follow(robot, smooth, goal, 1.0)
    began = time.monotonic()
    process.send_signal(by)
    told = error_of(lambda: drive.follow(robot, smooth, goal, 3.0))
    noticed = time.monotonic() - began
    robot.stop()
    stopped = time.monotonic() - began
    return f"after {1000 * noticed:.0f} ms: {told} (stop() returned after {stopped:.1f} s)"


CELL = f"""robot = "franka:{ADDRESS}"
[robot_options]
hand_kg = 0.0
realtime = false
timeout_s = 0.3
[guard]
late_s = 0.05
"""


def command(bundle: Path, folder: Path, *options: str, held_s: float = 600.0) -> str:
    """What `r2s-deploy run` says, in a terminal whose space bar is held for so long.

    The object is only said to be there: the server's scene is empty.
    """
    cell = folder / "cell.toml"
    cell.write_text(CELL)
    given = [str(bundle), str(cell), "--goal", "0.5", "0", "0.25", "--object", "0.5", "0", "0.03"]
    line = [sys.executable, "-m", "r2s_deploy.cli", "run", *given, "--allow-privileged", *options]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(line, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    os.close(theirs)
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    said, begun, end = "", None, time.monotonic() + 300.0
    while process.poll() is None and time.monotonic() < end:
        said += (process.stdout.read() or b"").decode()
        if begun is None and "hold the space bar" in said:
            begun = time.monotonic()
        if begun is not None and time.monotonic() - begun < held_s:
            os.write(ours, b" ")
        time.sleep(0.03)
    process.kill()
    said += (process.stdout.read() or b"").decode()
    os.close(ours)
    return " | ".join(said.strip().splitlines())


def succeeds(said: str, sentence: str) -> str:
    assert sentence in said, said
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("venv", type=Path)
    parser.add_argument("--bundle", type=Path)
    args = parser.parse_args()
    place = prepare(args.venv.resolve())

    def say(what: str, check: Callable[[], str]) -> None:
        try:
            print(f"{what}: {check()}", flush=True)
        except (AssertionError, RobotError) as error:
            failed.append(what)
            print(f"{what}: FAILED: {error}", flush=True)

    failed: list[str] = []
    say("no server", lambda: error_of(connect))
    with server(place), connect() as robot:
        say("r2s_deploy.testing.check_robot", lambda: checked(robot))
        say("each joint, 10% speed", lambda: each_joint(robot))
        say("the hand", lambda: hand(robot))
        say("this program stalls", lambda: stalled(robot))
    for speed in (0.1, 0.3, 0.5, 1.0):
        with server(place), connect(speed) as robot:
            what = f"a path, {speed:.0%} speed"
            say(what, lambda robot=robot, speed=speed: trajectory(robot, speed))
    for name, by in (("stalls", signal.SIGSTOP), ("is killed", signal.SIGKILL)):
        with server(place) as process, connect() as robot:
            what = f"the server {name}"
            say(what, lambda r=robot, p=process, by=by: disturbed(r, p, by))
    if args.bundle:
        bundle, folder = args.bundle, place.arm.parent
        moves = ("--arm", "--to-ready")
        for sentence, options, held_s in (
            ("nothing was moved", (), 600.0),
            ("control steps; it holds where it is", (*moves, "--steps", "50"), 600.0),
            ("control steps; it holds where it is", (*moves, "--speed", "1"), 600.0),
            ("the space bar was released", moves, 12.0),
        ):
            with server(place):
                line = " ".join(("r2s-deploy run", *options))
                told = functools.partial(command, bundle, folder, *options, held_s=held_s)
                say(line, lambda f=told, s=sentence: succeeds(f(), s))
    print(f"failed: {', '.join(failed) or 'nothing'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
