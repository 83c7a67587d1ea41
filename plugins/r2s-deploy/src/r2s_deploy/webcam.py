"""A camera that OpenCV reads: USB cameras, streams of network cameras, and video files."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from r2s_deploy.camera import Frame
from r2s_deploy.errors import DeployError, NoImage

try:
    import cv2
except ImportError:
    raise DeployError(
        "a webcam needs OpenCV: install r2s-deploy with the extra `tags` "
        "(opencv-contrib-python-headless)"
    ) from None

__all__ = ["STALE_S", "Webcam", "cv2"]

STALE_S = 0.5
_STREAMS = ("rtsp://", "rtsps://", "http://", "https://")
_LONGEST_NAME = 200  # in errors
_MOST_DIGITS = 9  # of a camera's number
_FIRST_S = 10.0  # until the first image
_CLOSING_S = 2.0
_USUAL_RATE = 30.0  # images a second, where a camera does not say
_SAME_CLOCK_S = 1.0  # between a driver's time stamp and now


@dataclasses.dataclass(frozen=True, eq=False)
class _Taken:
    """image: uint8[H, W, 3], blue, green, red; or uint8[H, W]."""

    image: np.ndarray
    time_s: float


class Webcam:
    """A `CameraSource` that always has the newest image.

    A thread takes every image from the driver as it comes, since a driver's queue gives old ones to
    who asks rarely.

    An image's time is when the driver had it (by V4L2's own time stamp, or else when it arrived
    here) less `delay_s`, which stands for half of the exposure and the transfer. Nothing here
    measures that delay; for objects that move, film a clock on a screen and set it.
    """

    def __init__(
        self,
        device: int | str | Path,
        size: tuple[int, int] | None = None,
        rate_hz: float | None = None,
        *,
        delay_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """device: the number of a camera, its path (/dev/video0), the address of a stream (rtsp://,
          http://), or a video file, which is played once, in real time.
        size: (width, height) in pixels; None: the camera's own. rate_hz: to ask the camera for.
        delay_s: from the middle of the exposure to the driver; None: half of a frame's period.

        Waits for the first image. Raises `DeployError` where there is no such camera, it gives
        images of another size, or none.
        """
        self.name = str(device)[:_LONGEST_NAME]
        self._clock, self._lock, self._closing = clock, threading.Lock(), threading.Event()
        self._newest: _Taken | None = None
        self._gone = ""
        self._came = threading.Event()  # an image, or the end
        self._is_file = _is_file(device)
        self._is_stream = str(device).startswith(_STREAMS)
        self._capture = self._open(device, size, rate_hz)
        told = float(self._capture.get(cv2.CAP_PROP_FPS))
        self._rate = told if 0.5 < told < 1000.0 else _USUAL_RATE
        self._delay = 0.5 / self._rate if delay_s is None else delay_s
        self._thread = threading.Thread(target=self._run, name=f"webcam {device}", daemon=True)
        self._thread.start()
        self._came.wait(_FIRST_S)
        try:
            self._check_first(size)
        except DeployError:
            self.close()
            raise

    def frame(self) -> Frame:
        """The newest image, in red, green and blue.

        Raises `NoImage` where the camera is gone, or its newest image is older than 0.5 s.
        """
        with self._lock:
            newest, gone = self._newest, self._gone
        if gone or newest is None:
            raise NoImage(f"the camera {self.name} {gone or 'has given no image'}")
        age = self._clock() - newest.time_s
        if age > STALE_S:
            raise NoImage(f"the newest image of the camera {self.name} is {age:.1f} s old")
        is_grey = newest.image.ndim == 2
        image = newest.image if is_grey else cv2.cvtColor(newest.image, cv2.COLOR_BGR2RGB)
        return Frame(np.asarray(image, np.uint8), newest.time_s)

    def close(self) -> None:
        """Let the camera go; may be called again."""
        self._closing.set()
        self._thread.join(_CLOSING_S)  # it releases the camera, in which it may be waiting
        with self._lock:
            self._gone = self._gone or "was closed"

    def __enter__(self) -> Webcam:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(
        self, device: int | str | Path, size: tuple[int, int] | None, rate_hz: float | None
    ) -> Any:
        where, api = _place(device, self._is_file)
        log: Any = cv2.utils.logging
        level = log.getLogLevel()
        log.setLogLevel(log.LOG_LEVEL_SILENT)  # its warnings say less than the sentence below
        try:
            capture = cv2.VideoCapture(where, api)
        finally:
            log.setLogLevel(level)
        if not capture.isOpened():
            there = ", ".join(sorted(map(str, Path("/dev").glob("video*")))) or "none"
            raise DeployError(
                f"no camera or video opens at {self.name}: is it plugged in, readable by you, and "
                f"not in use? Devices here: {there}"
            )
        if size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
        if rate_hz is not None:
            capture.set(cv2.CAP_PROP_FPS, rate_hz)
        if not self._is_file:
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return capture

    def _check_first(self, size: tuple[int, int] | None) -> None:
        with self._lock:
            newest, gone = self._newest, self._gone
        if newest is None:
            why = gone or f"gave no image within {_FIRST_S:g} s"
            raise DeployError(f"the camera {self.name} {why}")
        height, width = newest.image.shape[:2]
        if size is not None and (width, height) != tuple(size):
            raise DeployError(
                f"the camera {self.name} gives {width} x {height} pixels, not {size[0]} x {size[1]}"
            )

    def _run(self) -> None:
        """Take images until the camera is closed or gone."""
        began, count, why = self._clock(), 0, ""
        try:
            while not self._closing.is_set():
                if self._is_file and self._closing.wait(
                    max(0.0, began + count / self._rate - self._clock())
                ):
                    break
                if not self._capture.grab():
                    why = "has ended" if self._is_file else "is gone: it gives no more images"
                    break
                arrived = self._clock()
                ok, image = self._capture.retrieve()
                if ok and image is not None and image.dtype == np.uint8:
                    with self._lock:
                        self._newest = _Taken(image, self._taken(arrived))
                    self._came.set()
                count += 1
        except Exception as error:  # of OpenCV, in a thread where nobody would see it
            why = f"failed: {(str(error).splitlines() or [type(error).__name__])[0][:200]}"
        finally:
            with self._lock:
                self._gone = why or self._gone
            self._came.set()
            self._capture.release()

    def _taken(self, arrived: float) -> float:
        """The middle of the exposure, as well as it is known."""
        if self._is_file:
            return arrived
        stamp = 1e-3 * float(self._capture.get(cv2.CAP_PROP_POS_MSEC))
        by_driver = not self._is_stream and 0.0 <= arrived - stamp < _SAME_CLOCK_S
        return (stamp if by_driver else arrived) - self._delay


def _is_file(device: int | str | Path) -> bool:
    try:
        return not isinstance(device, int) and Path(device).is_file()
    except OSError:  # the name is too long
        return False


def _place(device: int | str | Path, is_file: bool) -> tuple[int | str, int]:
    """What `cv2.VideoCapture` takes for it, and by which of its libraries.

    Raises `DeployError` for texts that OpenCV would take for something else, such as a pipeline of
    GStreamer.
    """
    text = str(device)
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
        return int(text), cv2.CAP_ANY
    if is_file or text.startswith(_STREAMS):
        return text, cv2.CAP_FFMPEG
    with contextlib.suppress(OSError):  # of a name that is too long
        if Path(text).is_char_device():
            return text, cv2.CAP_V4L2
    raise DeployError(
        f"{text[:_LONGEST_NAME]} is no camera: give its number, its path (/dev/video0), the "
        f"address of a stream ({', '.join(_STREAMS)}) or a video file"
    )
