"""Options of `load_object`: light, so that the command line can list them without NumPy."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

from r2s_core.plugin import option
from r2s_envs_objects.materials import HEAVIEST, LIGHTEST, MATERIALS

#: Whose gripper an object is certified for, and who picks, where no robot is named.
DEFAULT_ROBOT = "panda"


@dataclasses.dataclass(frozen=True)
class ObjectOptions:
    """How a scan becomes an object. Metres and kilograms unless stated otherwise."""

    units: str = option(
        "auto",
        "unit of the file's numbers; auto: from the size, which is reported",
        choices=("auto", "m", "mm", "cm", "inch"),
    )
    up: str = option(
        "z", "the file's axis that points up", choices=("z", "y", "x", "-z", "-y", "-x")
    )
    scale: float = option(1.0, "factor on the size, after the units", above=0.0)
    mass: float | None = option(None, "kg; None: density times volume", above=0.0)
    material: str | None = option(
        None,
        "the object's material: sets density and friction unless these are given",
        choices=tuple(MATERIALS),
    )
    density: float | None = option(
        None,
        "kg/m3 of the solid scan when no mass is given; None: the material's, else 400, which "
        "suits hollow household objects",
        minimum=LIGHTEST,
        maximum=HEAVIEST,
    )
    max_pieces: int | None = option(
        None,
        "most convex pieces; None: 16, or up to 128 where fewer would fill a hollow",
        minimum=1,
        maximum=256,
    )
    max_hull_vertices: int = option(
        64, "most vertices of a piece; 32 makes faster physics", minimum=8, maximum=256
    )
    hull_excess: float = option(
        0.10,
        "use the convex hull undivided if it is at most this fraction larger than the scan",
        minimum=0.0,
        maximum=10.0,
    )
    visual_faces: int = option(20000, "most faces of the visual mesh", minimum=100)
    friction: float | None = option(
        None, "sliding friction coefficient; None: the material's, else 1", above=0.0
    )
    max_filled: float = option(
        0.25,
        "largest fraction of the surface that closing its holes may add",
        minimum=0.0,
        maximum=1.0,
    )
    robot: str = option(DEFAULT_ROBOT, "the robot whose gripper is to hold it; `r2s plugins robot`")
    force: bool = option(False, "accept objects too wide for the gripper")
    cache_dir: str | None = option(None, "cache folder; None: $R2S_CACHE_DIR, else the user's own")


_NAMES = frozenset(field.name for field in dataclasses.fields(ObjectOptions))
_MENTION = re.compile(r"`(\w+)(?:: ([^`]+))?`")


def respelled(text: str, spell: Callable[[str, str | None], str]) -> str:
    """A message with each mention of an option (`units`, `units: cm`) as the user writes it.

    spell: from the option's name, and its value if the message gives one.
    """
    return _MENTION.sub(lambda m: f"`{spell(m[1], m[2])}`" if m[1] in _NAMES else m[0], text)


def on_command_line(text: str) -> str:
    """A message in the spelling of the command line: `--units cm`."""
    return respelled(text, _argument)


def _argument(name: str, value: str | None) -> str:
    name = "--" + name.replace("_", "-")
    if value is None:
        return name
    return f"{name}={value}" if value.startswith("-") else f"{name} {value}"
