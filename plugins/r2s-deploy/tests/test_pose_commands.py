"""`python -m r2s_deploy.pose`, from the print to the pose."""

from __future__ import annotations

import base64
import re
import struct
import zlib

import numpy as np
import pytest

from r2s_deploy.camera import Intrinsics
from r2s_deploy.pose import commands
from r2s_deploy.pose.commands import main
from r2s_deploy.pose.opencv import cv2
from r2s_deploy.pose.rendered import Print, draw, facing

CAMERA = Intrinsics.of_field_of_view((640, 360), 60.0)


def _run(command: str) -> int:
    return main(command.split())


def _png(width: int, height: int) -> bytes:
    """The beginning of one that says so."""
    parts = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0), b"IDAT" + bytes(9))
    framed = (struct.pack(">I", len(x) - 4) + x + struct.pack(">I", zlib.crc32(x)) for x in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def _printed(svg: str) -> Print:
    """What a printer would make of it."""
    size = re.search(r'width="([\d.]+)mm" height="([\d.]+)mm"', svg)
    data = re.search(r"base64,([^\"]+)", svg)
    assert size
    assert data
    pixels = np.frombuffer(base64.b64decode(data[1]), np.uint8)
    texture = np.asarray(cv2.imdecode(pixels, cv2.IMREAD_GRAYSCALE), np.uint8)
    return Print(texture, (1e-3 * float(size[1]), 1e-3 * float(size[2])))


def test_a_printed_board_calibrates_the_camera_and_a_printed_tag_is_located(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert _run("print --board 7x5 --square 30 --marker 22 -o board.svg") == 0
    assert _run("print --tag 5 --size 50 -o tag.svg") == 0
    assert "Print it at 100 %" in capsys.readouterr().out
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    flat = _printed((tmp_path / "board.svg").read_text())
    for i, tilt in enumerate((5, 20, 30, 35, 40, 45, 30, 25, 40)):
        pose = facing(rng.uniform(0.32, 0.42), tilt, rng, spread=0.25)
        cv2.imwrite(f"images/{i}.png", draw([(flat, pose)], CAMERA, rays=3, rng=rng))
    cv2.imwrite("images/none.png", np.zeros((360, 640), np.uint8))
    assert _run("calibrate images --board 7x5 -o camera.json") == 0
    told = capsys.readouterr().out
    assert "left out images/none.png: 0 corners seen, 8 needed" in told
    assert re.search(r"camera.json: 0.\d\d pixels over 9 images, focal length within 0.\d\d%", told)

    pose = facing(0.3, 40.0, rng)
    tag = _printed((tmp_path / "tag.svg").read_text())
    cv2.imwrite("tag.png", draw([(tag, pose)], CAMERA, rng=rng))
    assert _run("locate tag.png --camera camera.json --tag 5 --size 50") == 0
    told = capsys.readouterr().out
    numbers = re.search(r"position (.*), (.*), (.*) mm, quaternion \(w, x, y, z\) (.*), in", told)
    assert numbers
    found = [1e-3 * float(numbers[i]) for i in (1, 2, 3)]
    np.testing.assert_allclose(found, pose.translation, atol=0.003)
    quaternion = [float(x) for x in numbers[4].split(",")]
    assert abs(np.dot(quaternion, pose.quaternion)) > np.cos(np.radians(0.5))


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("locate none.png --camera none.json --tag 5", "cannot read none.json: No such file"),
        ("calibrate none.png --board 7x5 -o camera.json", "none.png is missing, or no image"),
        ("calibrate . --board 7x5 -o camera.json", "there is no image in ."),
        ("print --tag 587 -o tag.svg", "there is no tag 587; the family 36h11 has 0 to 586"),
        ("print --tag 5 --size 0 -o tag.svg", "size_m is 0 m; a print has lengths of 0.001 to 2 m"),
        ("print --tag 5 --size 1e300 -o tag.svg", "size_m is 1e+297 m"),
        ("print --board 7x5 --square 1e300 -o board.svg", "square_m is 1e+297 m"),
        ("print --board 7x5 --marker 1e-300 -o board.svg", "marker_m is 1e-303 m"),
        ("calibrate in --board 7x5 -o c.json", "in/huge.png cannot be read as an image (OpenCV"),
        (f"calibrate {'a' * 5000} --board 7x5 -o c.json", f"{'a' * 200}: File name too long"),
        ("print --tag 5 -o none/tag.svg", "cannot write none/tag.svg: No such file"),
        ("print --board 2x2 -o board.svg", "a board has 3 x 3 squares or more"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, monkeypatch, capsys, command, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/huge.png").write_bytes(_png(100_000, 100_000))
    assert _run(command) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {told}")


@pytest.mark.parametrize("squares", ["7", "7x", "axb"])
def test_what_is_no_number_of_squares_is_refused(squares, capsys):
    with pytest.raises(SystemExit):
        main(["print", "--board", squares, "-o", "board.svg"])
    assert "invalid" in capsys.readouterr().err


def test_an_interrupt_ends_without_a_traceback(monkeypatch, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "_read", interrupted)
    (tmp_path / "0.png").touch()
    assert _run(f"calibrate {tmp_path} --board 7x5 -o {tmp_path}/camera.json") == 130
