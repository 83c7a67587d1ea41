"""Videos of camera images: H.264 in MP4 files, through the ffmpeg that imageio-ffmpeg brings.

Lossless by default (libx264rgb with a quantiser of 0): what is decoded is what was recorded, to the
last bit. A CRF above 0 is smaller and lossy (libx264 in yuv444p). Every second frame is a key frame
at least, as in LeRobot's own videos, so that single frames are found quickly.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from r2s_core.errors import ConfigError, R2SError
from r2s_core.system import files

#: What LeRobot's tolerance of 0.1 ms leaves of a time in float32: below 1,024 s it is within 31 us.
LONGEST_S = 1000.0
_KEY_FRAMES = 2
_LOG = 2**16  # bytes of what ffmpeg says
_RATE = re.compile(rb"Stream #0:\d+.* Video: .*?, ([\d.]+)(k?) (?:fps|tbr)")
_HEADER = re.compile(rb"P6\s(\d+)\s(\d+)\s255\s")


@dataclasses.dataclass(frozen=True)
class Codec:
    """How images are compressed. crf: libx264's constant rate factor; 0: without loss."""

    crf: int = 0

    @property
    def pixel_format(self) -> str:
        """As ffmpeg calls it."""
        return "yuv444p" if self.crf else "gbrp"

    def arguments(self) -> list[str]:
        """Of ffmpeg's output."""
        if not self.crf:
            return ["-c:v", "libx264rgb", "-qp", "0"]
        return ["-c:v", "libx264", "-pix_fmt", self.pixel_format, "-crf", str(self.crf)]

    def info(self, shape: Sequence[int], rate_hz: float) -> dict[str, Any]:
        """What meta/info.json says of a video of images [H, W, 3]; the CRF is ours to say."""
        return {
            "video.height": shape[0],
            "video.width": shape[1],
            "video.codec": "h264",
            "video.pix_fmt": self.pixel_format,
            "video.is_depth_map": False,
            "video.fps": rate_hz,
            "video.channels": 3,
            "video.crf": self.crf,
            "has_audio": False,
        }


LOSSLESS = Codec()


def encode(frames: np.ndarray, rate_hz: float, codec: Codec) -> bytes:
    """An MP4 file of uint8[N, H, W, 3]; raises `R2SError` where ffmpeg cannot make it."""
    _, height, width, _ = frames.shape
    made = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    with tempfile.TemporaryDirectory(prefix="r2s-video-") as folder:
        path = Path(folder) / "video.mp4"
        command = [*_command(), *made, "-framerate", str(_rational(rate_hz)), "-i", "pipe:"]
        command += [*codec.arguments(), "-g", str(_KEY_FRAMES), "-bf", "0", str(path)]
        # In a session of its own: Ctrl-C on a terminal is for us, and a video is written whole.
        done = subprocess.run(
            command,
            input=np.ascontiguousarray(frames).data.cast("B"),
            capture_output=True,
            check=False,
            start_new_session=True,
        )
        if done.returncode:
            raise R2SError(f"a video could not be encoded: {_reason(done.stderr)}")
        return path.read_bytes()


def decode(
    path: Path, shape: Sequence[int], rate_hz: float, spans: Sequence[tuple[int, int]]
) -> list[np.ndarray]:
    """The images uint8[stop - start, H, W, 3] of each span [start, stop) of frames, in order.

    rate_hz: frames a second. spans: must ascend and not overlap.

    Raises `ConfigError` where the file is no video of such images, of another rate, or too short.
    """
    files.open_regular(path, what="a data set's video", error=ConfigError).close()
    # Its format and protocol are fixed, so that no file makes ffmpeg open another.
    # What is damaged ends it, rather than be made up from the frames before.
    read = [
        "-xerror",
        "-err_detect",
        "explode",
        "-protocol_whitelist",
        "file",
        "-f",
        "mov",
        "-noautorotate",
        "-i",
        f"file:{path}",
    ]
    made = ["-map", "0:v:0", "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-c:v", "ppm"]
    made += ["-f", "image2pipe", "pipe:"]
    with tempfile.TemporaryFile() as told:  # a pipe that nobody reads could fill
        process = subprocess.Popen(
            [*_command("info"), "-nostats", *read, *made],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=told,
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            frames = _frames(process.stdout, path, shape, spans[-1][1])
            images = _picked(frames, shape, spans)
            _check_rate(os.pread(told.fileno(), _LOG, 0), path, rate_hz)
            return images
        except EOFError as error:
            process.wait()
            reason = _reason(os.pread(told.fileno(), _LOG, 0))
            raise ConfigError(
                f"{path}: not a video that can be read: {reason}; it may be damaged, so copy it "
                "again from where it came from"
            ) from error
        finally:
            process.kill()
            process.communicate()


def _frames(
    stream: IO[bytes], path: Path, shape: Sequence[int], needed: int
) -> Iterator[np.ndarray]:
    """uint8[H, W, 3] each, from PPM pictures, each of which says how large it is. The next frame
    replaces the last."""
    height, width = shape[:2]
    header = b"P6\n%d %d\n255\n" % (width, height)
    frame = np.empty((height, width, 3), np.uint8)
    for position in range(needed):
        begins = stream.read(len(header))
        if begins != header:
            raise _misfit(begins + stream.read(16), path, shape, position, needed)
        if stream.readinto(frame.data.cast("B")) != frame.nbytes:  # type: ignore[attr-defined]
            raise EOFError
        yield frame


def _picked(
    frames: Iterator[np.ndarray], shape: Sequence[int], spans: Sequence[tuple[int, int]]
) -> list[np.ndarray]:
    """The frames of each span."""
    found, position = [], 0
    for start, stop in spans:
        assert position <= start < stop
        images = np.empty((stop - start, *shape[:2], 3), np.uint8)
        for i, frame in enumerate(islice(frames, stop - position), position):
            if i >= start:
                images[i - start] = frame
        found.append(images)
        position = stop
    return found


def _check_rate(told: bytes, path: Path, rate_hz: float) -> None:
    """Raises `ConfigError` where, by what ffmpeg says, frames are not 1 / rate_hz apart."""
    if (said := _RATE.search(told)) is None:
        raise ConfigError(f"{path}: its video does not say how many frames a second it has")
    rate = float(said[1]) * (1000 if said[2] else 1)
    if not math.isclose(rate, rate_hz, rel_tol=5e-3, abs_tol=0.01):
        raise ConfigError(
            f"{path}: its video has {rate:g} frames a second, and meta/info.json says {rate_hz:g}; "
            "its images would be of other moments than its numbers"
        )


def _misfit(
    begins: bytes, path: Path, shape: Sequence[int], position: int, needed: int
) -> Exception:
    if size := _HEADER.match(begins):
        return ConfigError(
            f"{path}: its images are of {int(size[2])} x {int(size[1])} pixels, and "
            f"meta/info.json says {shape[0]} x {shape[1]} (height x width)"
        )
    if position:
        return ConfigError(
            f"{path}: damaged: it has {position:,} frames, and {needed:,} by meta/episodes"
        )
    return EOFError()


def _rational(rate_hz: float) -> Fraction:
    """As ffmpeg takes it, exact for 1 / 0.048 s."""
    return Fraction(rate_hz).limit_denominator(100_000)


def _command(log: str = "error") -> list[str]:
    import imageio_ffmpeg

    try:
        program = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise R2SError(f"videos need ffmpeg, and there is none: {error}") from error
    return [program, "-nostdin", "-hide_banner", "-loglevel", log, "-y"]


def _reason(told: bytes) -> str:
    lines = told.decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "ffmpeg does not say why"
