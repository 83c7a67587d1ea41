"""The geometry of a parallel gripper, for grasp planning; imports nothing heavy."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Gripper:
    """A gripper with two fingers that close along one line. Lengths in m.

    `Robot.grip` is the point midway between the pads. The gripper approaches along that site's z
    axis and closes along its y axis.
    """

    name: str  #: as shown in certificates: "Franka Hand"
    opening: float  #: between the pads of the open gripper
    payload: float  #: the largest mass that the arm lifts with it, kg
    finger_half_width: float  #: across the closing and the approach
    finger_thickness: float  #: free space that a finger needs behind its contact
    pad_half_height: float  #: along the approach, of the surface that touches
    pad_below_grip: float  #: how far the fingertips reach beyond the grip, at most
    palm_clearance: float  #: from the grip back to the palm
    palm: tuple[float, float, float]  #: half width along the closing, half depth, height

    @property
    def widest(self) -> float:
        """The widest object that it should grasp, with 2 mm to spare at each finger."""
        return self.opening - 0.004

    def __str__(self) -> str:
        return f"{self.opening * 1000:.0f} mm gripper"
