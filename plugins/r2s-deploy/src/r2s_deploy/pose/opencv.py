"""OpenCV, which only the extra `tags` brings."""

from __future__ import annotations

from typing import Any

import numpy as np

from r2s_deploy.errors import DeployError
from r2s_deploy.transform import Floats, Transform

try:
    import cv2
except ImportError:
    raise DeployError(
        "seeing tags needs OpenCV: install r2s-deploy with the extra `tags` "
        "(opencv-contrib-python-headless)"
    ) from None
if not hasattr(cv2, "aruco") or not hasattr(cv2, "calibrateHandEye"):
    raise DeployError(
        f"this OpenCV ({cv2.__version__}) lacks what finds tags or calibrates a camera on a robot: "
        "install opencv-contrib-python-headless, 4.12 or newer but 5.0.0.93, and no other package "
        "of OpenCV beside it"
    )

__all__ = ["cv2", "rotation_vector", "transform"]


def transform(rotation_vector: Any, translation: Any) -> Transform:
    """Of OpenCV's rvec and tvec, each of 3 numbers in any shape."""
    matrix = cv2.Rodrigues(np.asarray(rotation_vector, float).ravel())[0]
    return Transform(np.asarray(matrix, float), np.asarray(translation, float).ravel())


def rotation_vector(pose: Transform) -> Floats:
    """float64[3], OpenCV's rvec."""
    return np.asarray(cv2.Rodrigues(pose.rotation)[0], float).ravel()
