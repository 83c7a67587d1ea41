"""Shapes with hollows: their pieces leave them hollow, or the certificate says that they do not."""

from __future__ import annotations

import numpy as np
import pytest

from r2s_envs_objects import ObjectAsset, ObjectOptions, load_object
from r2s_envs_objects.certificate import page as certificate
from r2s_envs_objects.certificate import portraits
from r2s_envs_objects.certificate.certify import _verdict
from r2s_envs_objects.certificate.checks import CheckResult
from r2s_envs_objects.commands import library
from r2s_envs_objects.mesh.decompose import FEW, _manifold, convex_pieces, faithful
from r2s_envs_objects.mesh.shells import shell_pieces

trimesh = pytest.importorskip("trimesh")


def cup(wall: float):
    """An open cup 60 mm across and 80 mm tall, its walls and bottom `wall` m thick."""
    profile = [[0, 0], [0.03, 0], [0.03, 0.08], [0.03 - wall, 0.08], [0.03 - wall, wall], [0, wall]]
    mesh = trimesh.creation.revolve(np.array(profile), sections=24)
    assert mesh.is_watertight
    return np.asarray(mesh.vertices), np.asarray(mesh.faces, np.int64), float(mesh.volume)


def test_a_cup_stays_hollow_with_as_many_pieces_as_that_takes():
    made = convex_pieces(*cup(0.003), ObjectOptions())
    assert faithful(made.iou, made.volume_error)
    assert made.iou > 0.8
    assert abs(made.volume_error) < 0.1
    assert len(made.pieces) > FEW
    assert max(map(len, made.pieces)) <= 64
    assert [finding.severity for finding in made.findings] == ["info"]


def test_a_budget_that_is_given_is_kept_and_a_filled_hollow_is_told():
    made = convex_pieces(*cup(0.003), ObjectOptions(max_pieces=6))
    assert len(made.pieces) <= 6
    assert not faithful(made.iou, made.volume_error)
    assert [finding.severity for finding in made.findings] == ["warning"]


def test_pressed_pieces_enclose_the_volume_of_what_they_stand_for():
    vertices, faces, volume = cup(0.003)
    (pieces,) = shell_pieces(_manifold(vertices, faces), [12]).values()
    assert len(pieces) == 12
    assert sum(piece.volume for piece in pieces) == pytest.approx(volume, rel=1e-3)
    for piece in pieces:
        assert trimesh.convex.convex_hull(piece.pressed(0.0)).volume == pytest.approx(piece.hull)
        pressed = trimesh.convex.convex_hull(piece.pressed(1.0)).volume
        assert pressed == pytest.approx(min(piece.volume, piece.hull), rel=1e-6)


@pytest.fixture(scope="module")
def bottle() -> ObjectAsset:
    return load_object("sample:bottle")


def held(count: int) -> CheckResult:
    return CheckResult(count > 0, "held", {"grasps_held": count, "grasps_tried": 8})


def facts_of(asset: ObjectAsset, hold: CheckResult) -> dict:
    facts = _verdict(asset.replace(graspable=hold.passed), None, hold)
    facts |= {"findings": []}
    return facts | {"checks": {"hold": {"passed": hold.passed, "summary": hold.summary}}}


def test_the_verdict_says_what_is_wanting(bottle):
    lump = bottle.replace(iou=0.3)
    few = facts_of(bottle, held(1))
    assert few["verdict"] == "simulation-ready and barely graspable: 1 of 8 grasps held"
    assert few["reservations"] == ["barely graspable: 1 of 8 grasps held"]
    assert facts_of(bottle, held(7))["verdict"] == "simulation-ready and graspable"
    assert facts_of(bottle, held(7))["reservations"] == []
    said = facts_of(lump, held(8))
    assert said["verdict"] == "simulation-ready, but collides as a solid lump and graspable"
    assert "the overlap is 0.30 (at least 0.80 needed)" in said["reservations"][0]
    worst = facts_of(lump, held(0))
    assert worst["verdict"].endswith("collides as a solid lump and not graspable")


def test_the_page_says_in_amber_what_is_wanting(bottle):
    warning = {"what": "thin walls", "severity": "warning", "code": "walls"}
    facts = facts_of(bottle.replace(iou=0.3), held(1)) | {"findings": [warning]}
    lines = list(certificate._verdict(facts))
    amber = [line.text for line in lines if line.state == "amber"]
    # The object as a whole, the lump, the few grasps, the warning, and the hold itself.
    assert len(amber) == len(lines) == 5
    assert "collides as a solid lump" in amber[1]
    assert "thin walls" in amber
    good = list(certificate._verdict(facts_of(bottle, held(8))))
    assert [line.state for line in good] == ["good", "good"]


def test_what_cannot_be_trained_on_is_not_offered_for_training(bottle):
    held_by, dropped = facts_of(bottle, held(8)), facts_of(bottle, held(0))
    assert "r2s run" in next(certificate._commands(held_by, "a/b")).line
    assert list(certificate._commands(dropped, "a/b")) == []
    assert len(list(certificate._commands(dropped | {"forced": True}, "a/b"))) == 2


@pytest.mark.parametrize(
    ("sides", "groups"), [((0.05, 0.07, 0.09), [2, 2, 2]), ((0.05, 0.05, 0.05), [6])]
)
def test_poses_that_look_alike_are_one(sides, groups, save):
    """A box lies on three pairs of sides, and a cube looks the same on all of its six."""
    made = load_object(str(save(trimesh.creation.box(sides))))
    assert [len(alike) for alike in portraits._merged(made)] == groups


def test_a_library_s_table_does_not_call_a_lump_ready(bottle):
    size = (0.1, 0.1, 0.2)
    shown = {"folder": "cup", "pieces": 16, "seconds": 1.0, "size_m": size, "mass_kg": 0.1}
    lump = {**facts_of(bottle.replace(iou=0.3), held(8)), **shown, "iou": 0.3}
    good = {**facts_of(bottle, held(8)), **shown, "iou": 0.9}
    assert [library._row(entry)[1] for entry in (lump, good)] == ["solid lump", "ready"]
    count = "2 of 2 simulation-ready, 2 of them graspable, 1 of them as a solid lump"
    assert library._count([lump, good]) == count
