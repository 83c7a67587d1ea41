"""What the Panda looks like, in primitives."""

from __future__ import annotations

from r2s_envs_robots.shapes import Materials, Shape, box, disc, egg, rod

MATERIALS: Materials = {
    "panda_white": ((0.93, 0.94, 0.95, 1.0), 0.5, 0.6),
    "panda_grey": ((0.78, 0.80, 0.82, 1.0), 0.4, 0.5),
    "panda_dark": ((0.13, 0.14, 0.15, 1.0), 0.3, 0.4),
    "panda_rubber": ((0.06, 0.06, 0.07, 1.0), 0.1, 0.1),
    "panda_blue": ((0.04, 0.54, 0.78, 1.0), 0.5, 0.5),
}


SHAPES: tuple[Shape, ...] = (
    # Base: a foot with its connector block behind, a collar, and the turning joint's seam.
    box("link0", "panda_dark", (-0.03, 0, 0.006), (0.105, 0.095, 0.006)),
    egg("link0", "panda_white", (-0.03, 0, 0.03), (0.105, 0.092, 0.075)),
    disc("link0", "panda_white", (0, 0, 0.02), (0, 0, 0.128), 0.071),
    box("link0", "panda_grey", (-0.095, 0, 0.045), (0.04, 0.05, 0.033)),
    box("link0", "panda_dark", (-0.134, 0, 0.045), (0.003, 0.04, 0.024)),
    disc("link0", "panda_dark", (0, 0, 0.126), (0, 0, 0.142), 0.066),
    # Shoulder: a column that swells into the horizontal joint 2.
    disc("link1", "panda_white", (0, 0, -0.191), (0, 0, -0.06), 0.064),
    egg("link1", "panda_white", (0, 0.0, -0.055), (0.066, 0.07, 0.09)),
    disc("link1", "panda_white", (0, -0.062, 0), (0, 0.062, 0), 0.062),
    disc("link1", "panda_dark", (0, -0.072, 0), (0, 0.072, 0), 0.057),
    disc("link1", "panda_white", (0, -0.078, 0), (0, 0.078, 0), 0.05),
    # Upper arm: from joint 2 up to the turning joint 3.
    rod("link2", "panda_white", (0, 0, 0), (0, -0.07, 0), 0.064),
    disc("link2", "panda_white", (0, -0.05, 0), (0, -0.118, 0), 0.063),
    disc("link2", "panda_dark", (0, -0.116, 0), (0, -0.130, 0), 0.058),
    disc("link3", "panda_white", (0, 0, -0.188), (0, 0, -0.085), 0.063),
    egg("link3", "panda_white", (0.02, 0, -0.075), (0.075, 0.066, 0.07)),
    # Elbow: offset forward, about the horizontal joint 4.
    rod("link3", "panda_white", (0.025, 0.0, -0.06), (0.0825, 0.0, -0.005), 0.052),
    disc("link3", "panda_white", (0.0825, -0.056, 0), (0.0825, 0.056, 0), 0.054),
    disc("link3", "panda_dark", (0.0825, -0.066, 0), (0.0825, 0.066, 0), 0.05),
    disc("link3", "panda_white", (0.0825, -0.072, 0), (0.0825, 0.072, 0), 0.043),
    rod("link4", "panda_white", (0, 0, 0), (-0.06, 0.055, 0), 0.052),
    egg("link4", "panda_white", (-0.0665, 0.07, 0), (0.07, 0.06, 0.064)),
    disc("link4", "panda_white", (-0.0825, 0.06, 0), (-0.0825, 0.124, 0), 0.061),
    disc("link4", "panda_dark", (-0.0825, 0.122, 0), (-0.0825, 0.136, 0), 0.056),
    # Forearm: a barrel that tapers towards the wrist, with its cable duct beside it.
    disc("link5", "panda_white", (0, 0, -0.25), (0, 0, -0.19), 0.06),
    egg("link5", "panda_white", (0, 0.012, -0.18), (0.06, 0.066, 0.075)),
    rod("link5", "panda_white", (0, 0.035, -0.19), (0, 0.062, -0.055), 0.042),
    rod("link5", "panda_white", (0, 0.062, -0.1), (0, 0.052, -0.02), 0.045),
    egg("link5", "panda_white", (0, 0.045, -0.015), (0.052, 0.05, 0.055)),
    disc("link5", "panda_dark", (0, 0.01, 0), (0, 0.055, 0), 0.047),
    # Wrist: joint 6 is horizontal; a bridge carries the turning flange at its front.
    disc("link6", "panda_white", (0, 0, -0.045), (0, 0, 0.045), 0.049),
    disc("link6", "panda_dark", (0, 0, 0.043), (0, 0, 0.053), 0.044),
    egg("link6", "panda_white", (0.035, 0.0, 0.0), (0.075, 0.052, 0.05)),
    rod("link6", "panda_white", (0.03, 0, 0), (0.088, 0, 0), 0.047),
    disc("link6", "panda_white", (0.088, 0.05, 0), (0.088, -0.03, 0), 0.05),
    disc("link6", "panda_blue", (0.088, 0.05, 0), (0.088, 0.056, 0), 0.028),
    disc("link7", "panda_dark", (0, 0, 0.03), (0, 0, 0.044), 0.046),
    disc("link7", "panda_white", (0, 0, 0.044), (0, 0, 0.09), 0.045),
    rod("link7", "panda_white", (0.02, 0.02, 0.07), (0.048, 0.048, 0.07), 0.021),
    disc("link7", "panda_dark", (0, 0, 0.09), (0, 0, 0.107), 0.032),
    # Hand and fingers.
    box("hand", "panda_white", (0, 0, 0.03), (0.026, 0.075, 0.03)),
    disc("hand", "panda_white", (0, -0.075, 0), (0, -0.075, 0.06), 0.026),
    disc("hand", "panda_white", (0, 0.075, 0), (0, 0.075, 0.06), 0.026),
    box("hand", "panda_dark", (0, 0, 0.062), (0.02, 0.092, 0.004)),
    disc("hand", "panda_dark", (0, 0, -0.003), (0, 0, 0.004), 0.034),
    box("hand", "panda_blue", (-0.0262, 0, 0.03), (0.0005, 0.012, 0.004)),
    *(
        shape
        for body in ("left_finger", "right_finger")
        for shape in (
            box(body, "panda_grey", (0, 0.016, 0.011), (0.0105, 0.011, 0.011)),
            box(body, "panda_grey", (0, 0.0165, 0.031), (0.009, 0.006, 0.012)),
            box(body, "panda_grey", (0, 0.011, 0.0455), (0.009, 0.006, 0.0085)),
            box(body, "panda_rubber", (0, 0.0035, 0.0445), (0.0085, 0.0035, 0.0085)),
        )
    ),
)

#: The same in few: for cameras that a policy sees with. The fingers are true to size.
SKETCH: tuple[Shape, ...] = (
    disc("link0", "panda_white", (0, 0, 0), (0, 0, 0.27), 0.066),
    disc("link1", "panda_white", (0, -0.078, 0), (0, 0.078, 0), 0.062),
    disc("link3", "panda_white", (0, 0, -0.316), (0, 0, -0.04), 0.063),
    disc("link3", "panda_white", (0.0825, -0.072, 0), (0.0825, 0.072, 0), 0.054),
    disc("link4", "panda_white", (-0.0825, 0.0, 0), (-0.0825, 0.136, 0), 0.06),
    rod("link5", "panda_white", (0, 0.01, -0.22), (0, 0.055, -0.03), 0.055),
    rod("link6", "panda_white", (0, 0, 0), (0.088, 0, 0), 0.049),
    disc("link7", "panda_dark", (0, 0, 0.03), (0, 0, 0.107), 0.044),
    box("hand", "panda_white", (0, 0, 0.033), (0.026, 0.1, 0.033)),
    *(
        shape
        for body in ("left_finger", "right_finger")
        for shape in (
            box(body, "panda_grey", (0, 0.016, 0.027), (0.0095, 0.009, 0.027)),
            box(body, "panda_rubber", (0, 0.0035, 0.0445), (0.0085, 0.0035, 0.0085)),
        )
    ),
)
