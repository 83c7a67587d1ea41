"""Grasps of shapes for which the answer is plain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import trimesh

from r2s_envs_objects.behaviour.antipodal import graspability
from r2s_envs_objects.behaviour.grasp import gripper_of
from r2s_envs_objects.mesh.lines import passages, pinches, surface_of

HAND = gripper_of("panda")


def mesh_of(mesh: Any):
    return np.array(mesh.vertices, float), np.array(mesh.faces, np.int64)


def cup(radius: float = 0.05, wall: float = 0.005, height: float = 0.09) -> trimesh.Trimesh:
    """A round cup about its centre of mass, wider than the gripper."""
    profile = [(0, 0), (radius, 0), (radius, height), (radius - wall, height)]
    profile += [(radius - wall, wall), (0, wall)]
    mesh = trimesh.creation.revolve(np.array(profile), sections=48)
    return mesh.apply_translation(-mesh.center_mass)


def test_lines_pass_in_and_out_even_through_edges_and_corners():
    surface = surface_of(*mesh_of(trimesh.creation.box((0.04, 0.06, 0.05))))
    origins = np.array([[0.0, 0.0, 0.0], [0.0, 0.03, 0.0], [0.0, 0.2, 0.0]])
    along = np.tile([1.0, 0.0, 0.0], (3, 1))
    hits = passages(surface, origins, along)
    inside = hits.line == 0
    np.testing.assert_allclose(hits.distance[inside], [-0.02, 0.02])
    assert hits.leaving[inside].tolist() == [False, True]
    assert not (hits.line == 2).any()
    for line in range(3):  # what goes in comes out
        assert hits.leaving[hits.line == line].sum() * 2 == (hits.line == line).sum()


def test_what_is_too_close_for_a_finger_is_gripped_as_one():
    """Two plates 10 mm thick: 8 mm apart a finger does not fit between, 30 mm apart it does."""
    for gap, widths in ((0.008, [0.028]), (0.030, [0.01, 0.01])):
        plates = [trimesh.creation.box((0.01, 0.05, 0.05)) for _ in range(2)]
        for side, plate in zip((-1, 1), plates, strict=True):
            plate.apply_translation((side * (gap / 2 + 0.005), 0, 0))
        surface = surface_of(*mesh_of(trimesh.util.concatenate(plates)))
        hits = passages(surface, np.array([[0.0, 0.001, 0.002]]), np.array([[1.0, 0.0, 0.0]]))
        found = pinches(hits, 0.015)
        np.testing.assert_allclose(found.end - found.start, widths)


def test_a_box_is_gripped_across_its_narrow_side_near_its_middle():
    result = graspability(
        *mesh_of(trimesh.creation.box((0.04, 0.10, 0.05)).subdivide_to_size(0.02)), HAND
    )
    assert result.grade == "good"
    best = result.grasps[0]
    assert best.width == pytest.approx(0.04, abs=1e-6)
    assert min(best.yaw, np.pi - best.yaw) < np.radians(6)
    assert np.linalg.norm(best.position[:2]) < 0.005
    assert best.score > 0.9


def test_a_block_wider_than_the_gripper_has_none():
    result = graspability(*mesh_of(trimesh.creation.box((0.09, 0.09, 0.09))), HAND)
    assert (result.share, result.anywhere, result.grasps) == (0.0, 0.0, ())
    assert result.grade == "none"


def test_a_cup_wider_than_the_gripper_is_held_by_its_rim():
    result = graspability(*mesh_of(cup()), HAND)
    assert result.grasps
    for grasp in result.grasps:
        assert grasp.width == pytest.approx(0.005, abs=0.002)
        assert np.linalg.norm(grasp.position[:2]) == pytest.approx(0.0475, abs=0.003)
        closing = np.array([np.cos(grasp.yaw), np.sin(grasp.yaw)])
        radial = np.array(grasp.position[:2]) / np.linalg.norm(grasp.position[:2])
        assert abs(closing @ radial) > 0.85


def test_a_low_plate_is_no_grasp_from_above_because_of_the_table():
    flat = trimesh.creation.box((0.06, 0.06, 0.008)).subdivide_to_size(0.02)
    assert graspability(*mesh_of(flat), HAND).share == 0.0


def test_it_is_repeatable():
    first, second = (graspability(*mesh_of(cup()), HAND) for _ in range(2))
    assert first == second
