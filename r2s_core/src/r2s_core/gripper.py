"""The geometry of a parallel gripper, for grasp planning; imports nothing heavy."""

from __future__ import annotations

import dataclasses
import math

from r2s_core.errors import R2SError


@dataclasses.dataclass(frozen=True)
class Gripper:
    """A gripper with two fingers that close along one line.

    Lengths in m, all above 0. They are measured in the frame of the site `Robot.grip`, which is
    midway between the pads: along its z axis the gripper approaches, along y it closes, and x is
    across both. Grasp planning treats each finger as a box behind its contact, and the palm as a
    box behind both.

    name: as shown in certificates: "Franka Hand".
    opening: along y, between the surfaces of the two pads when the gripper is open.
    payload: kg, the largest mass that the arm lifts with it.
    finger_half_width: along x, from the grip to the side of a finger.
    finger_thickness: along y, from the surface of a pad to the back of its finger, near the tip:
      the free space that a finger needs beside the object.
    pad_half_height: along z, from the grip to the upper or lower edge of the surface that touches.
    pad_below_grip: along z, from the grip ahead to the end of the fingertips, at most, whatever
      the opening: the grip stays this far above the table.
    palm_clearance: along z, from the grip back to the palm: how tall an object fits between.
    palm: the palm's box (half width along y, half depth along x, height along z, from
      `palm_clearance` behind the grip backwards).

    Raises R2SError where a number is not finite and above 0.
    """

    name: str
    opening: float
    payload: float
    finger_half_width: float
    finger_thickness: float
    pad_half_height: float
    pad_below_grip: float
    palm_clearance: float
    palm: tuple[float, float, float]

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self)[1:]:
            value = getattr(self, field.name)
            for number in value if field.name == "palm" else (value,):
                if not (math.isfinite(number) and number > 0.0):
                    raise R2SError(
                        f"gripper {self.name!r}: {field.name} is {value}; it must be above 0"
                    )

    @property
    def widest(self) -> float:
        """The widest object that it should grasp, with 2 mm to spare at each finger."""
        return self.opening - 0.004

    def __str__(self) -> str:
        return f"{self.opening * 1000:.0f} mm gripper"
