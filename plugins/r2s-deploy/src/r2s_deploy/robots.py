"""Robots by name, of this package and of others.

Another package registers its own under the entry point group `r2s_deploy.robots`: a function of the
address and, as keywords, of the cell's `robot_options`, which returns a `Robot` that is also a
context manager.
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


def open_robot(cell: Cell, bundle: Bundle) -> Any:
    """The cell's robot, connected.

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
        robot = kind(cell.address, **options)
    except TypeError as error:
        raise DeployError(f"robot_options of the robot {cell.kind}: {error}") from error
    names, wanted = list(getattr(robot, "joints", ())), list(bundle.robot["joints"]["names"])
    if names and len(names) != len(wanted):
        robot.close()
        raise DeployError(
            f"the robot has {len(names)} joints ({', '.join(names)}), and the bundle is of "
            f"{bundle.robot['title']}, which has {len(wanted)}"
        )
    return robot


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


def _simulated(address: str, **options: Any) -> Any:
    from r2s_deploy.simulated import SimulatedRobot

    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    return SimulatedRobot(address, "--real-time", *flags)


def _franka(address: str, **options: Any) -> Any:
    from r2s_deploy.franka import FrankaRobot

    return FrankaRobot(address, **options)
