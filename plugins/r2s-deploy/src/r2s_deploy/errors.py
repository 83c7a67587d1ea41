"""Errors that are the user's to fix, or that stop the robot; a message is one clear sentence."""

from __future__ import annotations


class DeployError(Exception):
    """What r2s-deploy refuses; `str(error)` says what, where and what to do."""


class NoImage(DeployError):
    """A camera has no image now, and why."""


class NoPose(DeployError):
    """There is no pose of the object that can be trusted now, and why."""


class CalibrationError(DeployError):
    """A camera cannot be calibrated from what was given, or a calibration file is not sound."""


class BundleError(DeployError):
    """A bundle is damaged, contradicts itself, or cannot be run here."""
