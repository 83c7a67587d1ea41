"""Another up axis is suggested where the shape speaks for it clearly, and only then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from r2s_envs_objects.behaviour.upright import held_share, up_axis_findings
from r2s_envs_objects.mesh.inertia import volume_integrals
from r2s_envs_objects.mesh.repair import close_merged, merge_vertices
from r2s_envs_objects.scan.load import parse

SCANS = Path(__file__).resolve().parents[4] / "shared" / "scans" / "clean"
#: From a z-up file to one in which this axis is up.
TURNS = {
    "z": np.eye(3),
    "y": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "-y": np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "-z": np.diag([1, -1, -1]),
    "x": np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]]),
}


def revolved(profile: list[tuple[float, float]]) -> trimesh.Trimesh:
    return trimesh.creation.revolve(np.array(profile), sections=40)


def mallet() -> trimesh.Trimesh:
    """As it lies on a table: head and handle, on two points and an edge."""
    head = trimesh.creation.cylinder(0.025, 0.06, sections=32)  # along z, turned along y below
    head.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    handle = trimesh.creation.cylinder(0.008, 0.16, sections=24)
    handle.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [0, 1, 0]))
    handle.apply_translation([-0.1, 0, 0])
    both = trimesh.util.concatenate([head, handle])
    assert isinstance(both, trimesh.Trimesh)
    return both


SHAPES = {
    "can": revolved([(0, 0), (0.03, 0), (0.03, 0.11), (0, 0.11)]),
    "bottle": revolved([(0, 0), (0.03, 0), (0.03, 0.1), (0.01, 0.13), (0.01, 0.16), (0, 0.16)]),
    "cup": revolved([(0, 0), (0.035, 0), (0.035, 0.09), (0.031, 0.09), (0.031, 0.004), (0, 0.004)]),
    "bowl": revolved([(0, 0), (0.03, 0), (0.07, 0.05), (0.066, 0.05), (0.028, 0.004), (0, 0.004)]),
    "ball": trimesh.creation.icosphere(subdivisions=3, radius=0.03),
    "box": trimesh.creation.box((0.04, 0.06, 0.05)),
    "mallet": mallet(),
}


def suggestion(mesh: trimesh.Trimesh, turn: str = "z", up: str = "z") -> str | None:
    """The axis that is suggested for the shape, turned so that `turn` points up."""
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces, np.int64)
    vertices = (vertices - volume_integrals(vertices, faces)[1]) @ TURNS[turn].T
    return suggested(vertices, faces, up)


def suggested(vertices: np.ndarray, faces: np.ndarray, up: str) -> str | None:
    findings = up_axis_findings(vertices, faces, up)
    assert len(findings) <= 1
    if not findings:
        return None
    return findings[0].what.partition("--up")[2][1:].split()[0]


@pytest.mark.parametrize("name", SHAPES)
def test_nothing_is_suggested_for_what_stands_as_it_should_or_does_not_tell(name):
    assert suggestion(SHAPES[name]) is None
    assert suggestion(SHAPES[name], "y", up="y") is None


@pytest.mark.parametrize("name", ["can", "bottle", "cup", "bowl"])
def test_a_y_up_file_read_as_z_up(name):
    assert suggestion(SHAPES[name], "y") == "y"
    assert suggestion(SHAPES[name], "z", up="y") == "z"


@pytest.mark.parametrize(
    ("name", "turn", "expected"),
    [
        ("cup", "-z", "-z"),  # upside down: it stands, but holds nothing
        ("bowl", "-z", "-z"),
        ("cup", "-y", "-y"),
        ("bowl", "x", "x"),
        ("bottle", "-y", "-y"),
        ("can", "-y", "y"),  # as stable either way
        ("can", "x", None),  # files are not x-up: it may well lie as it was scanned
        ("mallet", "y", None),
        ("mallet", "x", None),
        ("box", "y", None),
    ],
)
def test_other_sides_are_suggested_for_hollows_and_plain_bases_only(name, turn, expected):
    assert suggestion(SHAPES[name], turn) == expected


def test_a_cup_holds_what_its_inside_measures_and_upside_down_nothing():
    cup = SHAPES["cup"]
    vertices, faces = np.asarray(cup.vertices), np.asarray(cup.faces, np.int64)
    inside = 0.031**2 * 0.086 / (0.035**2 * 0.09)
    assert held_share(vertices, faces, "z") == pytest.approx(inside, rel=0.05)
    assert held_share(vertices, faces, "-z") == pytest.approx(0.0, abs=0.01)
    assert held_share(vertices, faces, "x") == pytest.approx(0.0, abs=0.01)


@pytest.mark.skipif(not SCANS.is_dir(), reason=f"no scans in {SCANS}")
def test_no_real_scan_is_told_wrong_and_hollow_ones_are_told_right():
    told = {}
    for path in sorted(SCANS.iterdir()):
        vertices, faces, _ = parse(path.read_bytes(), path.suffix, path.name)
        vertices, faces, _ = close_merged(*merge_vertices(vertices, faces), path.name)
        vertices = vertices - volume_integrals(vertices, faces)[1]
        assert suggested(vertices, faces, "z") is None, path.name
        told[path.stem] = suggested(vertices @ TURNS["y"].T, faces, "z")
    assert set(told.values()) <= {"y", None}
    for hollow in ("ycb_mug", "ycb_bowl", "gso_utensil_holder", "ycb_tomato_soup_can"):
        assert told[hollow] == "y"
    assert sum(side == "y" for side in told.values()) >= 11
