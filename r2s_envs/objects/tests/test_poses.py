"""The ways in which known shapes can lie, how likely each is, and that simulation agrees."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from r2s_envs_objects.behaviour.poses import resting_poses, stable_directions
from r2s_envs_objects.store.arrays import from_arrays, to_arrays


def poses_of(mesh: trimesh.Trimesh, mass: float = 0.1):
    """Resting poses of a convex homogeneous solid."""
    vertices = np.array(mesh.vertices) - mesh.center_mass
    inertia = np.array(mesh.moment_inertia) * mass / mesh.volume
    return resting_poses([vertices], mass, inertia)


def test_a_cube_lies_on_each_face_one_time_in_six():
    poses = poses_of(trimesh.creation.box((0.05, 0.05, 0.05)))
    assert len(poses) == 6
    for pose in poses:
        assert pose.probability == pytest.approx(1 / 6, abs=1e-6)
        assert pose.height == pytest.approx(0.025, abs=3e-4)


def test_a_box_prefers_its_large_faces():
    poses = poses_of(trimesh.creation.box((0.04, 0.06, 0.10)))
    assert len(poses) == 6
    assert sum(pose.probability for pose in poses) == pytest.approx(1.0)
    heights = [round(pose.height, 3) for pose in poses]
    assert heights == [0.02, 0.02, 0.03, 0.03, 0.05, 0.05]


def test_a_stick_cut_askew_never_stands():
    """Its base does not support the centre of mass: what lands there rolls on to a side."""
    stick = trimesh.creation.box((0.02, 0.02, 0.10))
    shear = np.eye(4)
    shear[0, 2] = 0.6  # the top 30 mm beyond the base
    poses = poses_of(stick.apply_transform(shear))
    assert all(pose.height < 0.02 for pose in poses)
    assert sum(pose.probability for pose in poses) > 0.98  # rarer ones are left out


def test_a_cone_stands_on_its_base_or_lies():
    cone = trimesh.creation.cone(radius=0.03, height=0.06, sections=12)
    directions = stable_directions(np.array(cone.vertices) - cone.center_mass)
    assert np.allclose(max(directions, key=lambda d: d[0][2])[0], [0, 0, 1], atol=1e-6)
    assert all(up[2] > -0.9 for up, _ in directions)  # never on its tip


def test_poses_survive_the_file(box, save):
    from r2s_envs_objects import load_object

    asset = load_object(save(box))
    assert len(asset.resting_poses) == 6
    again = from_arrays(to_arrays(asset))
    assert again.resting_poses == asset.resting_poses
    assert again.grasps == asset.grasps
    # What the training uses stays the pose as scanned.
    assert asset.resting_qpos.quat == (1.0, 0.0, 0.0, 0.0)
