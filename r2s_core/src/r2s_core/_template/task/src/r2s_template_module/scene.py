"""The physics of the arm."""

from __future__ import annotations

import mujoco
from r2s_core.types import SceneSpec

#: Two links of 0.2 m, each with a motor, in the plane z = 0; the site `tip` is the hand.
_XML = """
<mujoco>
  <option timestep="0.01" integrator="implicitfast" gravity="0 0 0"/>
  <default>
    <joint type="hinge" axis="0 0 1" damping="0.05" armature="0.01"/>
    <geom type="capsule" size="0.015" mass="0.2" contype="0" conaffinity="0" rgba="0.9 0.5 0.1 1"/>
    <motor ctrlrange="-0.5 0.5" ctrllimited="true"/>
  </default>
  <worldbody>
    <body name="upper">
      <joint name="shoulder"/>
      <geom fromto="0 0 0 0.2 0 0"/>
      <body name="lower" pos="0.2 0 0">
        <joint name="elbow"/>
        <geom fromto="0 0 0 0.2 0 0"/>
        <site name="tip" pos="0.2 0 0"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="shoulder"/><motor joint="elbow"/></actuator>
</mujoco>
"""


#: What pictures show beside it: a floor, a light, a camera above, and `target`, which
#: `TaskInfo.markers` moves.
_STAGE = """
    <light pos="0 -0.4 1.5" dir="0 0.25 -1"/>
    <camera name="above" pos="0 -0.35 1.1" xyaxes="1 0 0 0 0.95 0.3"/>
    <geom type="plane" size="0.6 0.6 0.1" pos="0 0 -0.02" rgba="0.93 0.94 0.95 1"/>
    <body name="target" mocap="true"><geom type="sphere" size="0.02" rgba="0.1 0.6 0.2 0.6"/></body>
  </worldbody>
"""


def _drawn(variant: int) -> mujoco.MjSpec:
    return mujoco.MjSpec.from_string(_XML.replace("</worldbody>", _STAGE))


def make_scene() -> SceneSpec:
    """25 Hz control. Only the View fields that are listed here are computed."""
    return SceneSpec(
        model=mujoco.MjModel.from_xml_string(_XML),
        substeps=4,
        view_fields=frozenset({"qpos", "qvel", "site_xpos"}),
        render_spec=_drawn,
    )
