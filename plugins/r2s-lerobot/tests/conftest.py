"""The little task of `driving.py`, installed for this process and for those that it starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("driving.py")


@pytest.fixture
def driving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of the task, in a folder that is the working directory."""
    site = tmp_path / "site"
    info = site / "driving-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: driving\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[r2s.environments]\ndriving = driving:DRIVING\n")
    (site / "driving.py").write_text(_SOURCE.read_text())
    monkeypatch.delitem(sys.modules, "driving", raising=False)
    monkeypatch.syspath_prepend(site)
    inherited = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), inherited])))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "drive.yaml"
    path.write_text(
        "backend: mujoco\n"
        "environment: {use: driving, num_parallel_envs: 6}\n"
        "training: {total_timesteps: 512}\n"
        "evaluation: {episodes: 6, num_parallel_envs: 6, video: false}\n"
    )
    return path
