"""The official meshes: that they land where they belong, and what is said when they cannot."""

from __future__ import annotations

import sys
import types

import mujoco
import numpy as np
import pytest

from r2s_core.errors import R2SError
from r2s_envs_robots.panda import menagerie
from r2s_envs_robots.panda.robot import panda

_VERTICES = np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.2, 0], [0, 0, 0.3]]) + np.array([0.5, 0.1, 0.0])
_SOURCE = """
<mujoco>
  <asset>
    <material name="white" rgba="0.9 0.8 0.7 1"/>
    <mesh name="shell" vertex="{vertices}" face="0 2 1  0 1 3  0 3 2  1 2 3"/>
  </asset>
  <worldbody><body name="link0"><body name="link1" pos="0 0 0.333"><joint/>
    <inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/>
    <geom type="mesh" mesh="shell" material="white" group="2" pos="0.01 0.02 0.03"
          quat="0.9 0.1 0.3 0.2" contype="0" conaffinity="0"/>
    <geom type="mesh" mesh="shell" group="3"/>
    <body name="not_ours"><geom type="mesh" mesh="shell" group="2"/></body>
  </body></body></worldbody>
</mujoco>
"""


class MenagerieError(Exception):
    pass


@pytest.fixture
def source() -> mujoco.MjModel:
    numbers = " ".join(map(str, _VERTICES.ravel()))
    return mujoco.MjModel.from_xml_string(_SOURCE.format(vertices=numbers))


def _package(monkeypatch, model_or_error) -> None:
    """Stand in for the package `mujoco_menagerie`."""

    def model(entry: str) -> mujoco.MjModel:
        assert entry == "panda"
        if isinstance(model_or_error, Exception):
            raise model_or_error
        return model_or_error

    package = types.ModuleType("mujoco_menagerie")
    package.__dict__.update(
        MenagerieError=MenagerieError, get=lambda name: types.SimpleNamespace(model=model)
    )
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", package)


def _world_vertices(model: mujoco.MjModel, geom: int) -> np.ndarray:
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    mesh = model.geom_dataid[geom]
    start = model.mesh_vertadr[mesh]
    vertices = model.mesh_vert[start : start + model.mesh_vertnum[mesh]]
    world = data.geom_xpos[geom] + vertices @ data.geom_xmat[geom].reshape(3, 3).T
    return world[np.lexsort(world.T.round(6))]


def test_visual_meshes_land_on_our_bodies_at_their_places(monkeypatch, source):
    _package(monkeypatch, source)
    spec = panda().spec()
    bare = spec.copy().compile()
    menagerie.add_menagerie_visuals(spec)
    model = spec.compile()
    added = [g for g in range(model.ngeom) if model.geom_type[g] == mujoco.mjtGeom.mjGEOM_MESH]
    assert len(added) == 1  # neither the collision mesh nor the one of an unknown body
    assert model.body(model.geom_bodyid[added[0]]).name == "link1"
    np.testing.assert_allclose(
        _world_vertices(model, added[0]), _world_vertices(source, 0), atol=1e-6
    )
    np.testing.assert_allclose(
        model.mat_rgba[model.geom_matid[added[0]]], (0.9, 0.8, 0.7, 1), atol=1e-6
    )
    np.testing.assert_array_equal(model.body_mass, bare.body_mass)
    assert model.geom_contype[added[0]] == model.geom_conaffinity[added[0]] == 0


def test_offline_is_one_clear_sentence(monkeypatch):
    _package(monkeypatch, MenagerieError("https://example.org: Name or service not known"))
    spec = panda().spec()
    with pytest.raises(R2SError, match=r"not cached and could not be downloaded \(https://"):
        menagerie.add_menagerie_visuals(spec)


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", None)
    with pytest.raises(R2SError, match=r"pip install 'r2s-envs-robots\[menagerie\]'"):
        menagerie.add_menagerie_visuals(mujoco.MjSpec())
