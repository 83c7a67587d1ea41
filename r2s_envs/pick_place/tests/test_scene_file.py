"""`r2s scene` writes files that MuJoCo opens from anywhere, in which the objects stand still."""

from __future__ import annotations

import subprocess
import sys

import mujoco
import numpy as np
import pytest
import trimesh

from r2s_core import cli
from r2s_core.errors import AssetError
from r2s_envs_objects import ObjectOptions, load_object
from r2s_envs_pick_place.scene.command import drift
from r2s_envs_pick_place.scene.file import GAP, place
from r2s_envs_robots.panda.robot import panda

OPTIONS = ObjectOptions(max_pieces=1, force=True)


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("R2S_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def scene_file(tmp_path_factory):
    """A scene of three samples, one of them twice, written by the command."""
    path = tmp_path_factory.mktemp("scene") / "sub" / "scene.xml"
    objects = ["sample:bottle", "sample:carton", "sample:bottle"]
    assert cli.main(["scene", *objects, "-o", str(path)]) == 0
    return path


def test_it_opens_from_another_folder_and_everything_rests(scene_file, tmp_path, monkeypatch):
    moved = scene_file.parent.rename(scene_file.parent.parent / "moved elsewhere")
    monkeypatch.chdir(tmp_path)
    model = mujoco.MjModel.from_xml_path(str(moved / "scene.xml"))
    moved.rename(scene_file.parent)
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    start = data.qpos.copy()
    while data.time < 2.0:
        mujoco.mj_step(model, data)
    assert model.nu == 9
    for name in ("bottle", "carton", "bottle_2"):
        address = model.joint(f"{name}_joint").qposadr[0]
        here = data.qpos[address : address + 7]
        np.testing.assert_allclose(here[:3], start[address : address + 3], atol=1e-3)
        assert abs(here[3]) > 0.9999
    np.testing.assert_allclose(data.qpos[:7], start[:7], atol=0.02)


def test_objects_do_not_pass_through_each_other(scene_file):
    model = mujoco.MjModel.from_xml_path(str(scene_file))
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    bottle, carton = (model.joint(f"{name}_joint").qposadr[0] for name in ("bottle", "carton"))
    data.qpos[bottle : bottle + 2] = data.qpos[carton : carton + 2] + np.array([0.0, 0.03])
    while data.time < 0.5:
        mujoco.mj_step(model, data)
    apart = np.linalg.norm(data.qpos[bottle : bottle + 2] - data.qpos[carton : carton + 2])
    assert apart > 0.037


def test_objects_stand_clear_of_each_other_in_rows():
    assets = [load_object(f"sample:{name}", OPTIONS) for name in ("bottle", "carton", "duck")] * 6
    placed = place(assets, panda())
    assert len({thing.name for thing in placed}) == 18
    boxes = []
    for thing in placed:
        points = thing.asset.visual_vertices + thing.position
        assert points[:, 2].min() > -0.002
        boxes.append((points[:, :2].min(axis=0), points[:, :2].max(axis=0)))
    for i, (low, high) in enumerate(boxes):
        for other_low, other_high in boxes[:i]:
            apart = np.maximum(low - other_high, other_low - high)
            assert apart.max() > GAP / 2


def test_more_objects_than_the_table_holds_are_refused():
    assets = [load_object("sample:carton", OPTIONS)] * 80
    with pytest.raises(AssetError, match=r"80 objects .* within the arm's reach; give fewer"):
        place(assets, panda())


def test_mistakes_are_one_sentence(tmp_path, capsys):
    assert cli.main(["scene", "sample:bottle", "-o", str(tmp_path / "scene.json")]) == 1
    assert "name it so with -o" in capsys.readouterr().err
    assert cli.main(["scene", str(tmp_path / "no.stl"), "-o", str(tmp_path / "a.xml")]) == 1
    error = capsys.readouterr().err
    assert "no such file" in error
    assert error.count("\n") == 1


def test_a_scene_whose_physics_fails_is_told_and_not_waited_for(tmp_path):
    path = tmp_path / "scene.xml"
    path.write_text(
        """<mujoco><worldbody><body name="thing"><freejoint/><geom size=".1"/></body></worldbody>
        <keyframe><key name="home" qvel="1e11 0 0 0 0 0"/></keyframe></mujoco>"""
    )
    with pytest.raises(AssetError, match=r"its physics fails within 2 s; is an object's mass"):
        drift(path, [])


def test_a_name_that_is_no_identifier(tmp_path, capsys):
    path = tmp_path / "my cup (1).ply"
    trimesh.creation.box((0.04, 0.04, 0.05)).export(path)
    assert cli.main(["scene", str(path), "-o", str(tmp_path / "a.xml")]) == 0
    assert "my_cup__1_" in capsys.readouterr().out
    mujoco.MjModel.from_xml_path(str(tmp_path / "a.xml"))


def test_help_is_light():
    code = (
        "import sys, r2s_envs_pick_place.scene.plugin as p; import argparse;"
        "p.SCENE.configure(argparse.ArgumentParser());"
        "assert not {'jax', 'numpy', 'mujoco'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
