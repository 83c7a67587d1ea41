"""The hold as a check of an object: what the Panda can hold passes, and the rest says why not."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest

from r2s_envs_objects import ObjectAsset, ObjectOptions, load_object
from r2s_envs_pick_place.hold.check import check
from r2s_envs_robots.panda.robot import panda


@pytest.fixture
def bottle() -> ObjectAsset:
    return load_object("sample:bottle")


def block(tmp_path, size: float) -> ObjectAsset:
    """A cube from a file."""
    trimesh = pytest.importorskip("trimesh")
    path = tmp_path / "block.stl"
    trimesh.creation.box((size,) * 3).export(path)
    return load_object(path, ObjectOptions(force=True))


def test_it_is_found_by_its_entry_point():
    points = importlib.metadata.entry_points(group="r2s.object_checks", name="hold")
    assert [point.load() for point in points] == [check]


def test_a_bottle_is_held_as_the_training_will_hold_it(bottle):
    result = check(bottle, panda(), pictures=False)
    assert result.passed
    assert "held for 5 s after being lifted and shaken" in result.summary
    assert result.details["best"]["slip"] < 1e-3
    # The arm followed the shake: it was no trial in name only.
    assert result.details["best"]["shake_amplitude"] > 0.02
    assert result.grasp is None  # none better than the asset's own is needed
    assert result.pictures == ()


def test_a_slippery_bottle_is_dropped(bottle):
    slippery = bottle.replace(friction=0.05, grasps=bottle.grasps[:1])  # each is tried
    result = check(slippery, panda(), pictures=False)
    assert result.passed is False
    assert result.grasp is None
    assert "dropped with each of" in result.summary


def test_a_block_wider_than_the_gripper_is_not_graspable(tmp_path):
    result = check(block(tmp_path, 0.09), panda(), pictures=False)
    assert result.passed is False
    assert "spans 90 mm" in result.summary
    assert "no grasp from above fits the 80 mm gripper" in result.summary


def test_a_heavy_block_slips_out_in_the_shake(tmp_path):
    heavy = block(tmp_path, 0.05)
    factor = 3.0 / heavy.mass
    heavy = heavy.replace(
        mass=3.0,
        inertia=heavy.inertia * factor,
        grasps=heavy.grasps[:1],  # each is tried
    )
    assert check(heavy, panda(), pictures=False).passed is False
    light = heavy.replace(mass=0.1, inertia=heavy.inertia / 30.0)
    assert check(light, panda(), pictures=False).passed is True


def test_it_is_repeatable(bottle):
    bottle = bottle.replace(grasps=bottle.grasps[:1])
    first, second = (check(bottle, panda(), pictures=False) for _ in range(2))
    assert first.details == second.details


def test_an_object_is_tried_where_the_training_grasps_it(bottle):
    """A grasp far off, said to be the one, is tried and does not hold; the others still do."""
    moved = bottle.replace(grasp_offset=0.2, grasps=())
    result = check(moved, panda(), pictures=False)
    assert result.details["grasps_held"] < result.details["grasps_tried"]
    assert result.grasp is not None
    assert np.linalg.norm(result.grasp.position[:2]) < 0.05
    assert 0.02 < result.grasp.width < 0.06


_SCANS = Path(__file__).parents[4] / "shared" / "scans" / "clean"


@pytest.mark.skipif(not _SCANS.is_dir(), reason="no real scans in ../shared/scans/clean")
@pytest.mark.parametrize(
    ("file", "graspable"),
    [
        ("ycb_wood_block.ply", False),  # 85 to 90 mm square
        ("ycb_cracker_box.stl", True),  # on its thin side only
        ("ycb_foam_brick.stl", True),
    ],
)
def test_real_scans_are_graspable_as_they_are_in_life(file, graspable):
    asset = load_object(_SCANS / file, ObjectOptions(force=True))
    assert check(asset, panda(), pictures=False).passed is graspable
