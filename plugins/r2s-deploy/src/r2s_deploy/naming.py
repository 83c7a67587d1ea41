"""What recordings of others call the joints, the fingers and the rest of a `Log`."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

from r2s_deploy.bundle import Bundle
from r2s_deploy.errors import DeployError

OBJECT = tuple(f"object_{part}" for part in ("x", "y", "z", "qw", "qx", "qy", "qz"))
GOAL = ("goal_x", "goal_y", "goal_z")
FINGERS = ("finger1", "finger2")
FINGER_TARGET = "finger_target"
#: What follows a joint's name where its angle is recorded, and where its velocity is.
_SUFFIXES = {"": "_velocity", ".pos": ".vel", "_angle": "_velocity", "_position": "_velocity"}
#: Before the names of what was commanded, in a LeRobot data set: these are no measurements.
ACTION = "action."
_LISTED = 60  # names in an error


def velocity(name: str) -> str:
    """The column of a joint's or finger's velocity."""
    return f"{name}_velocity"


def target(joint: str) -> str:
    """The column of what a joint was commanded, rad."""
    return f"{joint}_target"


def lead(joint: str) -> str:
    """The column of what a joint was commanded one moment before, less its angle, rad."""
    return f"{joint}_target_minus_angle"


@dataclasses.dataclass(frozen=True)
class Naming:
    """From the names of a recording to the columns of a `Log`.

    joints: of the arm. fingers: what the robot calls its fingers' joints. aliases: columns by what
    the policy calls these numbers, as r2s's own recordings do. chosen: what the recording calls a
    column or image, said by the user. images: that the policy reads.
    """

    joints: tuple[str, ...]
    fingers: tuple[str, ...] = ()
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    chosen: Mapping[str, str] = dataclasses.field(default_factory=dict)
    images: tuple[str, ...] = ()

    @staticmethod
    def of(bundle: Bundle, chosen: Mapping[str, str] | None = None) -> Naming:
        """Of a bundle's robot and policy; raises `DeployError` where `chosen` names no column."""
        joints = tuple(bundle.robot["joints"]["names"])
        naming = Naming(
            joints,
            tuple(map(str, bundle.robot["gripper"].get("joints", ()))),
            _aliases(bundle, joints),
            dict(chosen or {}),
            tuple(image.name for image in bundle.images),
        )
        known = (*naming.columns, *naming.images)
        if unknown := [name for name in naming.chosen if name not in known]:
            raise DeployError(
                f"a recording has no column {unknown[0]}; what can be named is {listed(known)}"
            )
        return naming

    @property
    def columns(self) -> tuple[str, ...]:
        """Everything that a log may have."""
        moved = (*self.joints, *FINGERS)
        return (
            *("time", *moved, *map(velocity, moved), *OBJECT, *GOAL),
            *(*map(target, self.joints), *map(lead, self.joints), FINGER_TARGET),
        )

    def only(self, columns: Collection[str]) -> Naming:
        """With what the user said of these columns, and of no others."""
        return dataclasses.replace(
            self, chosen={column: x for column, x in self.chosen.items() if column in columns}
        )

    def without_images(self) -> Naming:
        """With what the user said of columns alone."""
        return self.only(self.columns)

    def find(self, recorded: Collection[str], where: str) -> dict[str, str]:
        """What is recorded of the columns, as the names of both.

        Joints may have a prefix, and a suffix for their angle, all of them the same. Raises
        `DeployError`, beginning with `where`, where a joint is not there, or could be several.
        """
        found = {name: name for name in self.columns if name in recorded}
        found |= {column: name for name, column in self.aliases.items() if name in recorded}
        for column, name in self.chosen.items():
            if name not in recorded:
                raise DeployError(f"{where} has no {name}; it has {listed(recorded)}")
            found[column] = name
        if any(joint not in found for joint in self.joints):
            found |= self._affixed(recorded, where) | dict(self.chosen)
        for joint in self.joints:
            found = _beside(joint, found[joint], recorded) | found
        if not set(FINGERS) <= found.keys():
            found |= self.find_fingers(recorded, [found[joint] for joint in self.joints])
        return found

    def _affixed(self, recorded: Collection[str], where: str) -> dict[str, str]:
        """The joints by a common prefix and suffix."""
        said = {joint: self.chosen[joint] for joint in self.joints if joint in self.chosen}
        fits = [
            affixes
            for affixes in _affixes(recorded, self.joints)
            if all(_within(joint, affixes, name) for joint, name in said.items())
        ]
        if not fits:
            missing = [joint for joint in self.joints if joint not in {*recorded, *said}]
            raise DeployError(
                f"{where} has no {(missing or self.joints)[0]}, also with a prefix that all joints "
                f"have; it has {listed(recorded)}. Say what it calls each joint: --columns "
                f"{self.joints[0]}=NAME ..."
            )
        if len(fits) > 1:
            first, second = (f"{prefix}{self.joints[0]}{suffix}" for prefix, suffix in fits[:2])
            raise DeployError(
                f"{where}: {self.joints[0]} could be {first} or {second}; say which: --columns "
                f"{self.joints[0]}={first}"
            )
        prefix, suffix = fits[0]
        return {joint: f"{prefix}{joint}{suffix}" for joint in self.joints}

    def find_fingers(self, recorded: Collection[str], arm: Iterable[str]) -> dict[str, str]:
        """The fingers, and their velocities, by what the robot calls them; empty: there are none.

        One that is recorded stands for both. arm: what the joints are called, for the prefix.
        """
        said = {name: self.chosen[name] for name in FINGERS if self.chosen.get(name) in recorded}
        if len(said) == len(FINGERS):
            return said
        if set(FINGERS) <= set(recorded):
            return {name: name for name in FINGERS}
        prefixes = {
            name.removesuffix(finger)
            for name in recorded
            for finger in self.fingers[:2]
            if name.endswith(finger) and not name.removesuffix(finger)[-1:].isalnum()
        }
        near = [p for p in sorted(prefixes) if p and any(joint.startswith(p) for joint in arm)]
        for prefix in [*near, *sorted(prefixes)][:1]:
            names = [f"{prefix}{finger}" for finger in self.fingers[:2]]
            there = [name for name in names if name in recorded]
            both = there if len(there) == len(FINGERS) else there[:1] * len(FINGERS)
            pair = dict(zip(FINGERS, both, strict=True))
            speeds = {velocity(finger): velocity(name) for finger, name in pair.items()}
            return pair | {column: name for column, name in speeds.items() if name in recorded}
        return {}

    def told(self, found: Mapping[str, str]) -> tuple[str, ...]:
        """What a person should check of a match."""
        names = [found[joint] for joint in self.joints]
        if names == list(self.joints):
            return ()
        return (f"the joints {', '.join(self.joints)} are {', '.join(names)} in it",)


def listed(names: Iterable[str]) -> str:
    """Names for an error: not more than can be read."""
    shown = list(names)
    rest = f" and {len(shown) - _LISTED} more" if len(shown) > _LISTED else ""
    return (", ".join(name[:80] for name in shown[:_LISTED]) or "nothing") + rest


def _aliases(bundle: Bundle, joints: Sequence[str]) -> dict[str, str]:
    columns: dict[str, Sequence[str]] = {
        "joint_angles": joints,
        "joint_velocities": [velocity(joint) for joint in joints],
        "target_minus_angle": [lead(joint) for joint in joints],
        "fingers": FINGERS,
        "finger_velocities": [velocity(finger) for finger in FINGERS],
        "object_position": OBJECT[:3],
        "object_quaternion": OBJECT[3:],
        "goal": GOAL,
    }
    return {
        number.name: columns[number.quantity][number.index]
        for number in bundle.numbers
        if number.quantity in columns
    }


def _affixes(recorded: Collection[str], joints: Sequence[str]) -> list[tuple[str, str]]:
    """Prefixes and suffixes with which all joints are recorded."""
    parts = [name.rpartition(joints[0]) for name in recorded]
    return [
        (prefix, suffix)
        for prefix, joint, suffix in parts
        if joint
        and suffix in _SUFFIXES
        and not prefix[-1:].isalnum()
        and not prefix.startswith(ACTION)
        and all(f"{prefix}{each}{suffix}" in recorded for each in joints)
    ]


def _beside(joint: str, name: str, recorded: Collection[str]) -> dict[str, str]:
    """The velocity and target of a joint whose angle has this name."""
    speeds = [
        name.removesuffix(suffix) + speed
        for suffix, speed in _SUFFIXES.items()
        if name.endswith(suffix)
    ]
    found = {velocity(joint): speed for speed in speeds if speed in recorded}
    return found | ({target(joint): target(name)} if target(name) in recorded else {})


def _within(joint: str, affixes: tuple[str, str], name: str) -> bool:
    return name == f"{affixes[0]}{joint}{affixes[1]}"
