"""Robots and other models from MJCF files."""

from __future__ import annotations

import warnings

import mujoco

from r2s_core.backends.silence import silenced


def attach(spec: mujoco.MjSpec, model: mujoco.MjSpec) -> None:
    """Put everything in the world of `model` into that of `spec`, under its own names.

    What MuJoCo would warn of whenever `spec` is compiled is intended, and silenced: names have no
    prefix, since a robot's joints have generic ones, and where the two specs' options differ (such
    as the timestep or the friction cone) those of `spec` hold.

    A name that is in both fails when `spec` is compiled.
    """
    warnings.filterwarnings("ignore", "Attach", UserWarning)  # raised later, by `spec.compile`
    with silenced():
        spec.attach(model, prefix="", frame=spec.worldbody.add_frame())
