"""Manifests of the robots; light."""

from __future__ import annotations

from r2s_core.plugin import Plugin

PANDA = Plugin(
    name="panda",
    kind="robot",
    summary="Franka Emika Panda, 7 joints, with the Franka Hand (80 mm)",
    target="r2s_envs_robots.panda.robot:make",
)
UR5E_2F85 = Plugin(
    name="ur5e_2f85",
    kind="robot",
    summary="Universal Robots UR5e, 6 joints, with a Robotiq 2F-85 (85 mm)",
    target="r2s_envs_robots.ur5e_2f85.robot:make",
)
