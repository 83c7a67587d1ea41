"""A robot in MuJoCo behind a socket, for rehearsals: `pip install r2s-deploy[sim]`."""

from r2s_deploy.simulated.client import SimulatedRobot, SimulatedTracker

__all__ = ["SimulatedRobot", "SimulatedTracker"]
