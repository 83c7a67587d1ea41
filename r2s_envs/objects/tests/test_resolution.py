"""Scans far from the origin: what their numbers still hold is read, and lost shapes are refused."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from r2s_core.errors import AssetError
from r2s_envs_objects.options import ObjectOptions
from r2s_envs_objects.preparation.solid import solidify
from r2s_envs_objects.scan.load import parse
from r2s_envs_objects.scan.resolution import on_a_map, resolution_findings

UTM = (448262.31, 5411932.5, 112.4)


def obj(mesh: trimesh.Trimesh, form: str) -> bytes:
    v = "".join("v {} {} {}\n".format(*(format(x, form) for x in row)) for row in mesh.vertices)
    return (v + "".join(f"f {a} {b} {c}\n" for a, b, c in mesh.faces + 1)).encode()


def stl(mesh: trimesh.Trimesh) -> bytes:
    data = mesh.export(file_type="stl")
    assert isinstance(data, bytes)
    return data


@pytest.mark.parametrize("form", [".2f", ".1f", "g"])
def test_a_scan_on_a_map_with_few_digits_is_refused(sphere, form):
    sphere.apply_translation(UTM)
    with pytest.raises(AssetError, match="its shape is lost; move the scan to the origin"):
        parse(obj(sphere, form), ".obj", "scan")


def test_a_scan_on_a_map_with_all_its_digits_is_read(sphere):
    moved = sphere.copy().apply_translation(UTM)
    vertices, _, findings = parse(obj(moved, ".5f"), ".obj", "scan")
    assert not findings
    np.testing.assert_allclose(vertices - UTM, sphere.vertices, atol=1e-5)


@pytest.mark.parametrize(
    ("away", "verdict"), [(3.0, ""), (30.0, ""), (5e3, "warning"), (6e4, "no")]
)
def test_float32_far_from_the_origin(sphere, away, verdict):
    data = stl(sphere.copy().apply_translation((away, 0, 0)))
    if verdict == "no":
        with pytest.raises(AssetError, match=r"exact only to 0\.00\d+, and spans 0\.0\d+ there"):
            parse(data, ".stl", "scan")
        return
    assert [finding.severity for finding in parse(data, ".stl", "scan")[2]] == [verdict] * bool(
        verdict
    )


def test_whole_numbers_are_not_coarse_of_themselves(box):
    """A part drawn in whole millimetres, on its machine's bed."""
    box.apply_scale(1000).apply_translation((9700, 200, -25))
    vertices, _, findings = parse(obj(box, ".0f"), ".obj", "scan")
    assert not findings
    assert np.ptp(vertices, axis=0) == pytest.approx([40, 60, 50])
    assert resolution_findings(np.array([[0.0, 0, 0], [1, 1, 0], [0, 1, 0]]), "flat") == []


def test_what_is_on_a_map():
    utm = np.array(UTM)
    assert on_a_map(utm, utm + 0.2)
    assert on_a_map(utm, utm + 297.0)
    assert not on_a_map(np.zeros(3), np.full(3, 297.0))
    assert not on_a_map(np.full(3, 5000.0), np.full(3, 5100.0))


def test_the_unit_of_a_map_is_the_metre(sphere):
    sphere.apply_translation(UTM)
    made = solidify(obj(sphere, ".5f"), ".obj", "scan", ObjectOptions())
    assert made.unit == "m"
    assert made.volume == pytest.approx(sphere.volume, rel=1e-3)
    land = sphere.copy().apply_scale(5000.0)
    with pytest.raises(AssetError, match="map coordinates, which are in metres"):
        solidify(obj(land, ".5f"), ".obj", "scan", ObjectOptions())
