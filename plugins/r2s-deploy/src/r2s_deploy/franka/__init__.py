"""A Franka arm (FR3 or Panda) with its hand: `pip install r2s-deploy[franka]`.

**Nothing here has touched a real robot.** It was run against a server that speaks the Franka's
network protocol on this computer (`benchmarks/franka_loopback.py`), which knows no contact forces,
no brakes and no network between. A first run on an arm belongs to someone with a hand on the stop.
"""

from r2s_deploy.franka.robot import FrankaRobot

__all__ = ["FrankaRobot"]
