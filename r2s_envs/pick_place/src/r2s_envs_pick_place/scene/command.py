"""`r2s scene`: write the scene, load it from its file and check that its objects stay at rest."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import mujoco
import numpy as np

from r2s_core.backends.mujoco import DIVERGED
from r2s_core.backends.silence import silenced
from r2s_core.errors import AssetError
from r2s_core.registry import build_robot
from r2s_core.system.text import printable
from r2s_envs_objects import ObjectOptions, load_object
from r2s_envs_pick_place.scene.build import HOME, SceneOptions
from r2s_envs_pick_place.scene.file import Placed, write_scene

REST_SECONDS = 2.0
REST_DISTANCE = 0.002  # m, the most that an object at rest may have moved by then


def main(args: argparse.Namespace) -> int:
    """Write the scene and list what is in it; 1 if an object does not rest."""
    path = args.output.expanduser()
    if path.suffix.lower() != ".xml":
        raise AssetError(f"{path}: a MuJoCo scene is an .xml file; name it so with -o")
    # A scene is for inspection, so objects that the gripper cannot span are allowed.
    options = ObjectOptions(units=args.units, up=args.up, robot=args.robot, force=True)
    robot = build_robot(args.robot)
    assets = [load_object(source, options) for source in args.objects]
    placed = write_scene(path, assets, SceneOptions(robot=robot), plain=args.plain)
    moved = drift(path, placed)
    shown = printable(path)
    print(f"{shown}: the {robot.title} and {len(placed)} object{'s' * (len(placed) > 1)}")
    for item, distance in zip(placed, moved, strict=True):
        size = " x ".join(f"{1000 * length:.0f}" for length in item.asset.size)
        x, y, _ = item.position
        state = "at rest" if distance <= REST_DISTANCE else "MOVES"
        print(
            f"  {printable(item.name):<20} {size:<16} mm  {item.asset.mass:.3f} kg  "
            f"at x {x:.2f} y {y:+.2f}"
            f"  {state}: {distance * 1000:.1f} mm in {REST_SECONDS:g} s"
        )
    print(f"open it: python -m mujoco.viewer --mjcf={shown}   then load the key `{HOME}`")
    return 0 if max(moved) <= REST_DISTANCE else 1


@silenced()
def drift(path: Path, placed: list[Placed]) -> list[float]:
    """How far each object has moved from its key, m, after REST_SECONDS; loaded from the file.

    Raises `AssetError` where the physics of the scene fails.
    """
    model = mujoco.MjModel.from_xml_path(str(path.resolve()))
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key(HOME).id)
    mujoco.mj_step(model, data, nstep=math.ceil(REST_SECONDS / model.opt.timestep))
    if any(data.warning[kind].number for kind in DIVERGED):  # MuJoCo has reset the state
        raise AssetError(
            f"{path}: its physics fails within {REST_SECONDS:g} s; is an object's mass, unit or "
            "scale wrong?"
        )
    ends = [data.body(item.name).xpos for item in placed]
    return [
        float(np.linalg.norm(end - item.position)) for end, item in zip(ends, placed, strict=True)
    ]
