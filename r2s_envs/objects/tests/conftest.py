"""Meshes with known answers, written as files."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import trimesh


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Nothing is prepared yet."""
    monkeypatch.setenv("R2S_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def save(tmp_path):
    """save(mesh, name) -> path of the written file."""

    def write(mesh: trimesh.Trimesh, name: str = "thing.ply") -> Path:
        path = tmp_path / name
        mesh.export(path)
        return path

    return write


@pytest.fixture(scope="session")
def mutations():
    """The module mutations.py beside this file."""
    spec = importlib.util.spec_from_file_location(
        "mutations", Path(__file__).with_name("mutations.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def box():
    """A 40 x 60 x 50 mm box, 8 vertices, resting on z = 0."""
    mesh = trimesh.creation.box((0.04, 0.06, 0.05))
    mesh.apply_translation((0.3, -0.2, 0.025))
    return mesh


@pytest.fixture
def sphere():
    """A 50 mm sphere of 5120 faces."""
    return trimesh.creation.icosphere(subdivisions=4, radius=0.025)


@pytest.fixture
def ell():
    """A solid L of two 20 mm thick arms 80 mm long, extruded by 30 mm: not convex."""
    profile = np.array([[0, 0], [80, 0], [80, 20], [20, 20], [20, 80], [0, 80]]) * 1e-3
    n = len(profile)
    vertices = np.concatenate([np.c_[profile, np.zeros(n)], np.c_[profile, np.full(n, 0.03)]])
    cap = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 5]])
    i = np.arange(n)
    j = (i + 1) % n
    sides = np.concatenate([np.c_[i, j, j + n], np.c_[i, j + n, i + n]])
    return trimesh.Trimesh(vertices, np.concatenate([cap[:, ::-1], cap + n, sides]), process=False)
