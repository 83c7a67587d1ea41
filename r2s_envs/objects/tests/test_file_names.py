"""Names that a file system holds and a terminal or a document does not: scans are read anyway."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import mujoco
import numpy as np
import pytest

from r2s_core.cli import main
from r2s_envs_objects import ObjectOptions, load_object
from r2s_envs_objects.certificate.certify import _unit
from r2s_envs_objects.store.mjcf import write_model

NAMES = [b"Gr\xf6\xdfe.stl", "Größe 日本.stl".encode(), b"a <b> & 'c' -- d.stl", b"esc\x1b[31m.stl"]


@pytest.fixture
def scan(box, tmp_path):
    """scan(name) -> the path of a box in a file of that name, as Python knows it."""

    def write(name: bytes) -> str:
        path = os.fsencode(tmp_path) + b"/" + name
        try:
            with open(path, "wb") as file:
                file.write(box.export(file_type="stl"))
        except OSError:
            pytest.skip("the file system takes no such name")
        return os.fsdecode(path)

    return write


@pytest.mark.parametrize("name", NAMES)
def test_check_whatever_the_name(scan, name, capsys):
    path = scan(name)
    assert main(["object", "check", path]) == 0
    told = capsys.readouterr().out
    assert told.encode().decode() == told  # no half characters
    assert "\x1b" not in told
    assert main(["object", "check", path.replace(".stl", "_no.stl")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_certificate_whatever_the_name(scan, name, tmp_path, capsys):
    path = scan(name)
    with open(path, "wb") as file:
        file.write(b"solid nothing\nfacet\nvertex 0 0 0\n")  # refused: certified at once
    for _ in range(2):  # the second takes the first one's place
        assert main(["object", "fix", path, "--no-pictures", "-o", str(tmp_path / "made")]) == 1
        assert "refused" in capsys.readouterr().out
    certificate = json.loads((tmp_path / "made/certificate.json").read_text(encoding="utf-8"))
    assert certificate["source"].encode()


def test_a_model_whatever_the_name(save, box, tmp_path):
    asset = load_object(save(box), ObjectOptions(max_pieces=1))
    for i, name in enumerate(NAMES):
        (tmp_path / str(i)).mkdir()
        source = os.fsdecode(name)
        model = write_model(tmp_path / str(i), asset.replace(source=source, name=f"{i}"))
        mujoco.MjModel.from_xml_path(str(model))


def test_on_a_terminal_that_knows_ascii_only(scan):
    ended = subprocess.run(
        [sys.executable, "-m", "r2s_core", "object", "check", scan(NAMES[1])],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.decode("ascii").count("nothing worse than a note") == 1


@pytest.mark.parametrize(
    ("factor", "scale", "unit"),
    [
        (0.001, 1.0, "mm"),
        (0.0012, 1.2, "mm"),
        (1.2, 1.2, "m"),
        (0.01, 2.0, "cm"),
        (0.3, 1.0, "units of 0.3 m"),
    ],
)
def test_the_unit_of_a_file_is_not_its_scale(factor, scale, unit):
    assert _unit(np.eye(4) * factor, scale) == unit
