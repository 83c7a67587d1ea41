"""A webcam gives the newest image, or says why there is none; on a video, and on a fake driver."""

from __future__ import annotations

import contextlib
import threading
import time

import numpy as np
import pytest

from r2s_deploy import webcam
from r2s_deploy.errors import DeployError, NoImage
from r2s_deploy.webcam import Webcam, cv2

RATE = 50.0


@pytest.fixture
def video(tmp_path):
    """40 frames, red; the brightness of each is 6 times its number."""
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (64, 48))
    for i in range(40):
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[..., 2] = 6 * i  # blue, green, red
        writer.write(frame)
    writer.release()
    return path


def number(frame):
    return round(float(frame.image[..., 0].mean()) / 6)


def test_a_video_plays_in_real_time_and_ends(video):
    began = time.monotonic()
    with Webcam(video, size=(64, 48)) as camera:
        first = camera.frame()
        assert first.image.shape == (48, 64, 3)
        assert first.image.dtype == np.uint8
        time.sleep(0.15)
        later = camera.frame()
        elapsed = RATE * (time.monotonic() - began)
        assert 5 <= number(later) <= elapsed  # not the next, as a queue would give
        assert later.image[..., 1:].max() < 40  # red is first
        assert began <= first.time_s < later.time_s <= time.monotonic()
        camera._thread.join(5.0)
        with pytest.raises(NoImage, match=r"video\.avi has ended$"):
            camera.frame()
    with pytest.raises(NoImage, match="has ended"):
        camera.frame()


class Driver:
    """Stands for `cv2.VideoCapture`: gives an image for each `give`, and waits in between."""

    def __init__(self):
        self.images, self.is_open, self.stamp_ms = [], True, 0.0
        self.there, self.released = threading.Semaphore(0), threading.Event()
        self.settings = {}

    def __call__(self, where, api):
        self.where = where
        return self

    def isOpened(self):
        return self.is_open

    def set(self, key, value):
        self.settings[key] = value

    def get(self, key):
        return {cv2.CAP_PROP_FPS: 25.0, cv2.CAP_PROP_POS_MSEC: self.stamp_ms}[key]

    def grab(self):
        while not self.there.acquire(timeout=0.01):
            if self.released.is_set():
                return False
        return bool(self.images)

    def retrieve(self):
        image = self.images.pop(0)
        if isinstance(image, Exception):
            raise image
        return image is not None, image

    def release(self):
        self.released.set()

    def give(self, image):
        self.images.append(image)
        self.there.release()

    def leave(self):
        self.images.clear()
        self.there.release()


@pytest.fixture
def driver(monkeypatch):
    made = Driver()
    monkeypatch.setattr(cv2, "VideoCapture", made)
    yield made
    made.released.set()


def grey(level):
    return np.full((4, 6, 3), level, np.uint8)


def wait_for(camera, level):
    for _ in range(500):
        with contextlib.suppress(NoImage):
            frame = camera.frame()
            if frame.image[0, 0, 0] == level:
                return frame
        time.sleep(0.002)
    raise AssertionError(f"no image of level {level} came")


def test_times_are_of_the_exposure_and_old_images_are_none(driver):
    now = [100.0]
    driver.give(grey(1))
    camera = Webcam(3, (6, 4), clock=lambda: now[0])
    assert driver.where == 3
    assert driver.settings[cv2.CAP_PROP_BUFFERSIZE] == 1
    assert driver.settings[cv2.CAP_PROP_FRAME_WIDTH] == 6
    assert camera.frame().time_s == pytest.approx(100.0 - 0.02)  # half a frame before it came
    now[0], driver.stamp_ms = 101.0, 100_990.0  # by the driver
    driver.give(grey(2))
    assert wait_for(camera, 2).time_s == pytest.approx(100.99 - 0.02)
    now[0] = 101.6
    with pytest.raises(NoImage, match=r"^the newest image of the camera 3 is 0\.6 s old$"):
        camera.frame()
    driver.stamp_ms = 5.0  # of another clock
    driver.give(grey(3))
    assert wait_for(camera, 3).time_s == pytest.approx(101.6 - 0.02)
    driver.released.set()
    camera.close()
    camera.close()


def test_a_camera_that_leaves_or_fails_is_told(driver, monkeypatch):
    driver.give(grey(1))
    camera = Webcam("0")
    driver.leave()
    camera._thread.join(5.0)
    assert driver.released.is_set()
    with pytest.raises(NoImage, match=r"^the camera 0 is gone: it gives no more images$"):
        camera.frame()
    camera.close()
    again = Driver()
    monkeypatch.setattr(cv2, "VideoCapture", again)
    again.give(grey(1))
    camera = Webcam(0)
    again.give(RuntimeError("bad cable\nmore"))
    camera._thread.join(5.0)
    with pytest.raises(NoImage, match=r"^the camera 0 failed: bad cable$"):
        camera.frame()


def test_a_closed_camera_has_no_images(driver):
    driver.give(grey(1))
    camera = Webcam(0)
    driver.released.set()  # so that it does not wait
    camera.close()
    assert not camera._thread.is_alive()
    with pytest.raises(NoImage, match="the camera 0 "):
        camera.frame()


def test_what_is_no_camera_is_refused(driver, monkeypatch, tmp_path):
    monkeypatch.setattr(webcam, "_CLOSING_S", 0.05)
    driver.give(grey(1))
    with pytest.raises(DeployError, match="the camera 0 gives 6 x 4 pixels, not 640 x 480"):
        Webcam(0, (640, 480))
    silent = Driver()
    monkeypatch.setattr(cv2, "VideoCapture", silent)
    monkeypatch.setattr(webcam, "_FIRST_S", 0.05)
    silent.released.set()
    with pytest.raises(DeployError, match="the camera 0 is gone: it gives no more images"):
        Webcam(0)
    closed = Driver()
    closed.is_open = False
    monkeypatch.setattr(cv2, "VideoCapture", closed)
    with pytest.raises(DeployError, match="no camera or video opens at 0: is it plugged in"):
        Webcam(0)
    for name in ("videotestsrc ! appsink", str(tmp_path / "none.mp4"), "-1", "a" * 5000, 10**12):
        with pytest.raises(DeployError, match="is no camera: give its number, its path"):
            Webcam(name)


def test_a_file_that_is_no_video_is_refused(tmp_path, capfd):
    path = tmp_path / "video.mp4"
    path.write_bytes(b"nothing")
    with pytest.raises(DeployError, match=r"no camera or video opens at .*video\.mp4"):
        Webcam(path)
    assert "WARN" not in capfd.readouterr().err
