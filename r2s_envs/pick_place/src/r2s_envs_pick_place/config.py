"""Options of the pick-and-place environment; light, imports neither JAX nor MuJoCo."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from r2s_core import registry
from r2s_core.plugin import option
from r2s_envs_objects.options import DEFAULT_ROBOT

ActionSpace = Literal["joint", "ee_delta"]
Goal = Literal["air", "place"]
Reward = Literal["dense", "sparse"]

#: Observation groups that a policy or a critic may read, and what is in them.
OBSERVATIONS = {
    "pose": "end-effector pose 7, object pose 7, end effector->object 3, object->goal 3, goal 3, "
    "fingers 2",
    "joints": "the arm's joint angles and velocities, finger velocities 2",
    "ee_motion": "the end effector's linear velocity 3 and yaw rate 1, from the joints' readings",
    "alignment": "the object's axes in the gripper's frame 9",
    "grasp": "where to close, in the gripper's frame 3; the angle from the fingers to the "
    "direction to close along 1, and cosine and sine of twice it 2",
    "object_motion": "the object's linear velocity 3 and angular velocity 3",
    "contact": "each fingertip pad touches the object 2, the grasp holds 1",
    "targets": "joint targets in force minus joint angles",
    "progress": "whether the object has been lifted in this episode 1",
}


@dataclasses.dataclass(frozen=True)
class PickPlaceConfig:
    """The task `real2sim_pick_place`."""

    robot: str = option(
        DEFAULT_ROBOT, "the robot: panda, ur5e_2f85 or another that `r2s plugins robot` lists"
    )
    objects: tuple[Path | str, ...] = option(
        ("sample:bottle",),
        "scanned objects: files (STL, OBJ, PLY) or sample:NAME; each world has one of them",
    )
    reconstructed_objects_dir: Path | None = option(
        None, "a folder of scanned objects; used instead of `objects`"
    )
    held_out_objects: tuple[Path | str, ...] = option(
        (), "objects used in evaluation too, and never in training"
    )
    object_scale: float = option(1.0, "scales the objects", above=0.0, maximum=1e6)
    object_scales: tuple[float, ...] = option(
        (1.0,),
        "the sizes in which each object is used, as factors on `object_scale`",
        above=0.0,
        maximum=100.0,
    )
    object_poses: Literal["scanned", "any"] = option(
        "scanned",
        "how an object lies at the start: as it was scanned, or in any pose in which it often "
        "comes to rest and the gripper can span it",
    )
    object_features: Literal["none", "size", "embedding"] = option(
        "none",
        "what a policy observes of the object's shape: size: its extents 3; embedding: how far it "
        "reaches in 26 directions",
    )
    object_units: Literal["auto", "m", "cm", "mm", "inch"] = option("auto", "units of the scan")
    object_max_filled: float = option(
        0.25,
        "largest fraction of a scan's surface that closing its holes may add",
        minimum=0.0,
        maximum=1.0,
    )
    object_mass: float | None = option(
        None,
        "kg, for each object without a mass of its own (not prepared by `r2s object fix`, not in "
        "`object_masses`); default: from volume and density",
        above=0.0,
        maximum=1000.0,
    )
    object_masses: Mapping[str, float] = option(
        doc="kg of single objects, by their name in `objects`: {sample:duck: 0.1}", factory=dict
    )
    force: bool = option(False, "train even on objects that this gripper cannot hold")
    max_pieces: int | None = option(
        None,
        "convex pieces that the object may be cut into; None: 16, or up to 128 where fewer would "
        "fill a hollow",
        minimum=1,
        maximum=256,
    )
    max_hull_vertices: int = option(
        32, "vertices of each piece; fewer are faster", minimum=8, maximum=256
    )
    action_space: ActionSpace = option(
        "joint",
        "joint: the arm's joints + 2 fingers; ee_delta: end-effector motion 3, yaw 1, gripper 1",
    )
    observations: tuple[str, ...] = option(
        ("pose",), "what the policy reads", choices=tuple(OBSERVATIONS)
    )
    critic_observations: tuple[str, ...] | None = option(
        None, "what the critic reads, if more than the policy", choices=tuple(OBSERVATIONS)
    )
    reward: Reward = option("dense", "the default reward terms; `rewards` names others")
    goal: Goal = option("air", "air: hold it at a point; place: put it on the table and let go")
    object_range: float = option(
        0.12, "the object starts within +- this of the centre, m", minimum=0.0, maximum=1.0
    )
    goal_range: float = option(
        0.12, "the goal lies within +- this of the centre, m", minimum=0.0, maximum=1.0
    )
    goal_height: tuple[float, float] = option(
        (0.10, 0.40), "lowest and highest goal in the air, m", minimum=0.0, maximum=2.0
    )
    official_meshes: bool = option(
        False, "draw the robot with its official meshes (r2s-envs-robots[menagerie])"
    )
    object_yaw: float = option(
        180.0, "the object's yaw lies within +- this, degrees", minimum=0.0, maximum=180.0
    )

    def __post_init__(self) -> None:
        registry.find("robot", self.robot)  # its error lists the installed ones
        for name in ("observations", "critic_observations", "object_scales"):
            if getattr(self, name) == ():
                raise ValueError(f"{name} is an empty list; name at least one")
        for name, mass in self.object_masses.items():
            if not 0.0 < mass <= 1000.0:
                raise ValueError(f"object_masses.{name} is {mass}; give kg above 0, at most 1000")
        low, high = self.goal_height
        if low > high:
            raise ValueError(f"goal_height is {[low, high]}; give the lower one first")


@dataclasses.dataclass(frozen=True)
class ReachConfig:
    """Options of the reward `reach`."""

    sharpness: float = option(5.0, "1/m; larger values reward only the last centimetres", above=0.0)


@dataclasses.dataclass(frozen=True)
class PlaceConfig:
    """Options of the reward `place`."""

    range: float = option(0.45, "m, distance at which the far term has fallen to 0", above=0.0)
    sharpness: float = option(12.0, "1/m, of the near term", above=0.0)
