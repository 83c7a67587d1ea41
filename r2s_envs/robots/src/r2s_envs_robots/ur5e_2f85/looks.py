"""What the UR5e and its gripper look like, in primitives."""

from __future__ import annotations

from r2s_envs_robots.shapes import Materials, Shape, box, disc, egg, rod

MATERIALS: Materials = {
    "ur_grey": ((0.80, 0.82, 0.83, 1.0), 0.5, 0.6),  # the tubes' brushed metal
    "ur_blue": ((0.36, 0.62, 0.80, 1.0), 0.3, 0.4),  # the joints' lids
    "ur_dark": ((0.20, 0.21, 0.22, 1.0), 0.3, 0.3),
    "ur_joint": ((0.74, 0.76, 0.78, 1.0), 0.5, 0.6),
    "robotiq_black": ((0.08, 0.08, 0.09, 1.0), 0.4, 0.4),
    "robotiq_metal": ((0.58, 0.60, 0.62, 1.0), 0.6, 0.6),
    "robotiq_rubber": ((0.16, 0.16, 0.17, 1.0), 0.1, 0.1),
}


def _joint(body: str, centre, axis, radius: float, length: float) -> tuple[Shape, ...]:
    """A joint's housing along `axis` (a unit vector), its lid at the far end."""
    end = tuple(c + a * length for c, a in zip(centre, axis, strict=True))
    lid = tuple(c + a * (length + 0.012) for c, a in zip(centre, axis, strict=True))
    top = tuple(c + a * (length + 0.016) for c, a in zip(centre, axis, strict=True))
    return (
        disc(body, "ur_joint", centre, end, radius),
        disc(body, "ur_blue", end, lid, radius * 0.98),
        disc(body, "ur_blue", lid, top, radius * 0.86),
    )


# Link frames: each joint turns about its link's z; the base's x points away from the table.
SHAPES: tuple[Shape, ...] = (
    # Base: a plate, a foot, and the seam of the turning joint.
    disc("link0", "ur_dark", (0, 0, 0), (0, 0, 0.012), 0.075),
    disc("link0", "ur_joint", (0, 0, 0.012), (0, 0, 0.085), 0.064),
    disc("link0", "ur_dark", (0, 0, 0.085), (0, 0, 0.099), 0.062),
    box("link0", "ur_dark", (0.062, 0, 0.035), (0.012, 0.022, 0.014)),
    # Shoulder: upright, then sideways into joint 2.
    disc("link1", "ur_joint", (0, 0, -0.064), (0, 0, 0.0), 0.062),
    egg("link1", "ur_joint", (0, 0, 0.0), (0.062, 0.062, 0.062)),
    disc("link1", "ur_blue", (0, 0, 0.045), (0, 0, 0.066), 0.05),
    disc("link1", "ur_joint", (0, -0.07, 0), (0, 0, 0), 0.060),
    disc("link1", "ur_dark", (0, -0.078, 0), (0, -0.07, 0), 0.058),
    # Upper arm, beside the shoulder: joint 2, a tube, and the elbow's half.
    *_joint("link2", (0, 0, 0.078), (0, 0, 1), 0.060, 0.104),
    rod("link2", "ur_joint", (0, 0, 0.136), (-0.06, 0, 0.136), 0.055),
    disc("link2", "ur_dark", (-0.075, 0, 0.136), (-0.083, 0, 0.136), 0.052),
    disc("link2", "ur_grey", (-0.08, 0, 0.136), (-0.345, 0, 0.136), 0.0485),
    disc("link2", "ur_dark", (-0.340, 0, 0.136), (-0.348, 0, 0.136), 0.051),
    rod("link2", "ur_joint", (-0.365, 0, 0.136), (-0.425, 0, 0.136), 0.050),
    *_joint("link2", (-0.425, 0, 0.078), (0, 0, 1), 0.054, 0.106),
    # Forearm: the elbow's other half, a thinner tube, and joint 4.
    disc("link3", "ur_dark", (0, 0, 0.070), (0, 0, 0.078), 0.052),
    *_joint("link3", (0, 0, 0.070), (0, 0, -1), 0.052, 0.10),
    rod("link3", "ur_joint", (0, 0, 0.015), (-0.05, 0, 0.015), 0.044),
    disc("link3", "ur_grey", (-0.06, 0, 0.015), (-0.315, 0, 0.015), 0.0375),
    disc("link3", "ur_dark", (-0.310, 0, 0.015), (-0.318, 0, 0.015), 0.0405),
    rod("link3", "ur_joint", (-0.335, 0, 0.015), (-0.3922, 0, 0.015), 0.040),
    *_joint("link3", (-0.3922, 0, 0.070), (0, 0, -1), 0.043, 0.105),
    # Wrist 1, 2 and 3.
    disc("link4", "ur_dark", (0, 0, -0.063), (0, 0, -0.055), 0.041),
    disc("link4", "ur_joint", (0, 0, -0.055), (0, 0, 0.0), 0.043),
    egg("link4", "ur_joint", (0, 0, 0), (0.043, 0.043, 0.043)),
    *_joint("link4", (0, 0, 0), (0, 0, 1), 0.043, 0.038),
    disc("link4", "ur_joint", (0, 0, 0), (0, -0.046, 0), 0.043),
    disc("link5", "ur_dark", (0, 0, -0.054), (0, 0, -0.046), 0.041),
    disc("link5", "ur_joint", (0, 0, -0.046), (0, 0, 0), 0.043),
    egg("link5", "ur_joint", (0, 0, 0), (0.043, 0.043, 0.043)),
    *_joint("link5", (0, 0, 0), (0, 0, 1), 0.043, 0.038),
    disc("link5", "ur_joint", (0, 0, 0), (0, 0.058, 0), 0.042),
    disc("link6", "ur_dark", (0, 0, -0.042), (0, 0, -0.034), 0.038),
    disc("link6", "ur_grey", (0, 0, -0.034), (0, 0, 0), 0.0375),
    # Gripper: the coupling, the housing with its shoulders, and the fingers' bars and tips.
    disc("hand", "robotiq_black", (0, 0, -0.0108), (0, 0, 0.004), 0.0375),
    disc("hand", "robotiq_black", (0, 0, 0.004), (0, 0, 0.038), 0.0345),
    box("hand", "robotiq_black", (0, 0, 0.052), (0.0285, 0.036, 0.022)),
    box("hand", "robotiq_black", (0, 0, 0.078), (0.0205, 0.030, 0.014)),
    box("hand", "robotiq_metal", (0, 0, 0.0925), (0.0195, 0.026, 0.0012)),
    *(
        shape
        for side in ("left", "right")
        for shape in (
            disc(f"{side}_finger", "robotiq_metal", (-0.024, 0, 0), (0.024, 0, 0), 0.008),
            *(
                rod(f"{side}_finger", "robotiq_metal", (x, 0, 0), (x, 0.0315, -0.0041), 0.0055)
                for x in (-0.017, 0.017)
            ),
            *(
                rod(
                    f"{side}_finger",
                    "robotiq_black",
                    (x, 0.0315, -0.0041),
                    (x, 0.0376, 0.043),
                    0.006,
                )
                for x in (-0.0125, 0.0125)
            ),
            *(
                rod(
                    f"{side}_finger",
                    "robotiq_black",
                    (x, -0.0179, 0.0065),
                    (x, 0.0197, 0.0495),
                    0.005,
                )
                for x in (-0.008, 0.008)
            ),
            disc(f"{side}_tip", "robotiq_metal", (-0.017, 0, 0), (0.017, 0, 0), 0.0055),
            rod(f"{side}_tip", "robotiq_black", (0, 0, 0), (0, -0.018, 0.0065), 0.0075),
            box(f"{side}_tip", "robotiq_black", (0, -0.0155, 0.030), (0.0125, 0.006, 0.023)),
            box(f"{side}_tip", "robotiq_rubber", (0, -0.0235, 0.0335), (0.011, 0.0022, 0.018)),
        )
    ),
)

#: The same in few: for cameras that a policy sees with. The fingers are true to size.
SKETCH: tuple[Shape, ...] = (
    disc("link0", "ur_joint", (0, 0, 0), (0, 0, 0.165), 0.064),
    disc("link1", "ur_joint", (0, -0.078, 0), (0, 0.06, 0), 0.061),
    disc("link2", "ur_joint", (0, 0, 0.078), (0, 0, 0.196), 0.060),
    disc("link2", "ur_grey", (0, 0, 0.136), (-0.425, 0, 0.136), 0.0495),
    disc("link2", "ur_joint", (-0.425, 0, 0.078), (-0.425, 0, 0.196), 0.054),
    disc("link3", "ur_grey", (0, 0, 0.015), (-0.3922, 0, 0.015), 0.04),
    disc("link3", "ur_joint", (-0.3922, 0, 0.070), (-0.3922, 0, -0.045), 0.043),
    disc("link4", "ur_joint", (0, 0, -0.063), (0, 0, 0.05), 0.043),
    disc("link5", "ur_joint", (0, 0, -0.054), (0, 0, 0.05), 0.043),
    disc("link6", "ur_grey", (0, 0, -0.06), (0, 0, 0), 0.0385),
    disc("hand", "robotiq_black", (0, 0, -0.0108), (0, 0, 0.038), 0.036),
    box("hand", "robotiq_black", (0, 0, 0.062), (0.0275, 0.036, 0.031)),
    *(
        shape
        for side in ("left", "right")
        for shape in (
            rod(f"{side}_finger", "robotiq_black", (0, 0.01, 0), (0, 0.0376, 0.043), 0.009),
            box(f"{side}_tip", "robotiq_black", (0, -0.0125, 0.027), (0.0125, 0.009, 0.026)),
            box(f"{side}_tip", "robotiq_rubber", (0, -0.0235, 0.0335), (0.011, 0.0022, 0.018)),
        )
    ),
)
