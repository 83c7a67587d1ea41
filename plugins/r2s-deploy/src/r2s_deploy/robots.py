"""Robots by name, of this package and of others.

Another package registers its own under the entry point group `r2s_deploy.robots`: a function of the
address and, as keywords, of `speed` (the share of full speed that it will be driven at) and the
cell's `robot_options`. It returns a `Robot` with a method `close`, and perhaps `joints`, their
names, and `check`, which raises `DeployError` for a `robot.json` that is not of this robot.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Mapping
from typing import Any

from r2s_deploy.bundle import Bundle
from r2s_deploy.cell import SIMULATED, Cell
from r2s_deploy.errors import DeployError

GROUP = "r2s_deploy.robots"


def open_robot(cell: Cell, bundle: Bundle, speed: float) -> Any:
    """The cell's robot, connected; speed: the share of full speed that it is meant to keep to.

    Raises `DeployError` where there is none of that kind, it does not take an option, or it is not
    the bundle's.
    """
    kind = _kinds().get(cell.kind)
    if kind is None:
        raise DeployError(
            f"there is no robot of the kind {cell.kind}; there are {', '.join(sorted(_kinds()))}"
        )
    options = dict(cell.options)
    if cell.kind == SIMULATED:
        from r2s_deploy.simulated.camera import described

        options["cameras"] = json.dumps(described(bundle))
    try:
        robot = kind(cell.address, speed=speed, **options)
    except TypeError as error:
        raise DeployError(f"robot_options of the robot {cell.kind}: {error}") from error
    try:
        _check(robot, bundle)
    except DeployError:
        robot.close()
        raise
    return robot


def _check(robot: Any, bundle: Bundle) -> None:
    """That it is the bundle's, as far as it can tell."""
    if hasattr(robot, "check"):
        robot.check(bundle.robot)
    names, wanted = list(getattr(robot, "joints", ())), list(bundle.robot["joints"]["names"])
    if names and names != wanted:
        raise DeployError(
            f"the robot has the joints {', '.join(names)}, and the bundle is of "
            f"{bundle.robot['title']}, which has {', '.join(wanted)}"
        )


def _kinds() -> Mapping[str, Callable[..., Any]]:
    own: dict[str, Callable[..., Any]] = {SIMULATED: _simulated, "franka": _franka}
    others = importlib.metadata.entry_points(group=GROUP)
    return {entry.name: _loaded(entry) for entry in others} | own


def _loaded(entry: importlib.metadata.EntryPoint) -> Callable[..., Any]:
    def open_it(address: str, **options: Any) -> Any:
        try:
            opened = entry.load()
        except Exception as error:  # another's code
            raise DeployError(f"the robot {entry.name} ({entry.value}) fails: {error}") from error
        return opened(address, **options)

    return open_it


def _simulated(address: str, speed: float, **options: Any) -> Any:
    from r2s_deploy.simulated import SimulatedRobot

    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    return SimulatedRobot(address, "--real-time", *flags)


def _franka(address: str, **options: Any) -> Any:
    from r2s_deploy.franka import FrankaRobot

    return FrankaRobot(address, **options)
