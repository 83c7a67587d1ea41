"""Images of a data set's videos; needs OpenCV."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from r2s_deploy.errors import DeployError
from r2s_deploy.log import Array

try:
    import cv2
except ImportError:
    raise DeployError(
        "reading the images of a data set needs OpenCV: install r2s-deploy with the extra `tags` "
        "(opencv-contrib-python-headless)"
    ) from None

__all__ = ["cv2", "frames"]

_MP4 = b"ftyp"  # at byte 4: other files are not given to decoders
_LONGEST_S = 1e6


def frames(path: Path, start_s: float, count: int, rate_hz: float, size: tuple[int, int]) -> Array:
    """uint8[count, H, W, 3], red, green and blue, from `start_s` on. size: (width, height).

    Raises `DeployError` where the video is not of this rate and size, or ends before.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise DeployError(f"{path} cannot be read: {error.strerror}") from error
    if head[4:] != _MP4 or not 0.0 <= start_s < _LONGEST_S:
        raise DeployError(f"{path} is no MP4 file with images from {start_s:g} s on")
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        found = [int(capture.get(x)) for x in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
        if not capture.isOpened() or found == [0, 0]:
            raise DeployError(
                f"{path} cannot be decoded by OpenCV: it is damaged, or of a codec that OpenCV "
                "lacks, such as AV1; write it again as H.264"
            )
        rate = float(capture.get(cv2.CAP_PROP_FPS))
        if not math.isclose(rate, rate_hz, rel_tol=0.01) or tuple(found) != size:
            raise DeployError(
                f"{path} has {rate:g} images a second of {found[0]} x {found[1]} pixels, and by "
                f"meta/info.json {rate_hz:g} of {size[0]} x {size[1]}"
            )
        images = np.empty((count, size[1], size[0], 3), np.uint8)
        for i in range(-round(start_s * rate_hz), count):
            if not capture.grab():
                raise DeployError(f"{path} ends before the episode does")
            if i >= 0:
                ok, image = capture.retrieve()
                if not ok or image.shape != images.shape[1:]:
                    raise DeployError(f"{path}: an image of the episode cannot be decoded")
                images[i] = image[..., ::-1]
        return images
    finally:
        capture.release()
