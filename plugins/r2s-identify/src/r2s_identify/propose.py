"""A motion that would tell what a log does not, verified by the same test."""

from __future__ import annotations

import dataclasses

import numpy as np

from r2s_deploy.log import Log
from r2s_identify import told
from r2s_identify.excitation import Excitation, excitation
from r2s_identify.identify import Result, information
from r2s_identify.recording import Recording

SECONDS = 12.0


def proposal(result: Result, joints: list[int]) -> tuple[Excitation, list[str]]:
    """A motion of all `joints`, and the names of the untold numbers that it would tell.

    Raises `R2SError` where the arm has no room for one.
    """
    problem = result.problem
    arm, dt = problem.arm, problem.recording.dt
    motion = excitation(arm, SECONDS, dt, joints)
    planned = dataclasses.replace(problem, recording=as_recording(motion, result), still=())
    scale = np.array([each.scale for each in problem.unknowns])
    jacobian = planned.jacobian(result.held / scale)
    still = told.untold(information(jacobian, result.inflation), problem.unknowns)
    names = {problem.unknowns[each.held].name for each in still}
    lost = [problem.unknowns[each.held].name for each in result.untold]
    return motion, [name for name in lost if name not in names]


def as_recording(motion: Excitation, result: Result) -> Recording:
    """As if the arm had been where it was sent; good enough for what a motion would tell."""
    dt = float(motion.time[1] - motion.time[0])
    speed = np.gradient(motion.targets, dt, axis=0)
    return Recording(
        dt=dt,
        angles=motion.targets,
        targets=motion.targets,
        smooth=motion.targets,
        velocities=speed,
        noise=result.noise,
        fingers=None,
        log=as_log(motion),
    )


def as_log(motion: Excitation) -> Log:
    """For a file: targets, and angles that are the same."""
    speed = np.gradient(motion.targets, motion.time, axis=0)
    fingers = np.zeros((len(motion.time), 2))
    return Log(motion.time, motion.targets, speed, fingers, fingers.copy(), targets=motion.targets)
