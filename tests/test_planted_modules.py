"""Files beside a scan are data: none is ever imported as a module, by us or by our children."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

from r2s_core.cli import main
from r2s_core.rendering import render
from r2s_core.system.worker import python_command
from r2s_envs_objects.mesh import decompose

REPOSITORY = Path(__file__).parents[1]
NAMES = ("trimesh", "mujoco", "json", "numpy", "coacd", "r2s_hook", "runpy", "tempfile")


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """The working directory: modules that leave a mark when they run, and two scans."""
    for name in NAMES:
        mark = tmp_path / f"{name} ran"
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')\nraise SystemExit(7)\n")
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "broken.stl").write_bytes(b"rubbish" * 100)
    trimesh.creation.box((0.04, 0.06, 0.05)).export(tmp_path / "box.stl")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("R2S_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def test_modules_in_the_working_directory_never_run(planted, capsys):
    assert main(["object", "check", "box.stl"]) in (0, 1)
    assert main(["object", "library", "scans", "-o", "library", "--no-pictures"]) == 1
    assert "1 refused" in capsys.readouterr().out
    render.probe_gl()  # the process that `r2s doctor` and every video start
    box = trimesh.creation.box((0.04, 0.06, 0.05))
    assert decompose._coacd(np.asarray(box.vertices), np.asarray(box.faces), 4)
    assert not list(planted.glob("* ran"))


def test_python_m_r2s_core_is_r2s_in_this_too(planted):
    command = [sys.executable, "-m", "r2s_core", "object", "check", "--json", "box.stl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1)
    assert '"box.stl"' in done.stdout
    assert not list(planted.glob("* ran"))


def test_one_place_starts_python():
    elsewhere = [
        str(path.relative_to(REPOSITORY))
        for folder in ("r2s_core", "r2s_envs", "r2s_algos", "r2s_randomization", "plugins")
        for path in (REPOSITORY / folder).rglob("src/**/*.py")
        if re.search(r"sys\.executable|\bmultiprocessing\b|ProcessPool", path.read_text("utf-8"))
        and path != REPOSITORY / "r2s_core/src/r2s_core/system/worker.py"
    ]
    # The robot's side has nothing of the core, and starts its own the same way.
    deploy = "plugins/r2s-deploy/src/r2s_deploy/simulated/client.py"
    assert elsewhere == [deploy]
    assert 'sys.executable, "-P"' in (REPOSITORY / deploy).read_text()
    command = python_command("-c", "import sys; print(sys.flags.safe_path)")
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"
