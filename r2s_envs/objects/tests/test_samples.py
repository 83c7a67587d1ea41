"""The shipped scans are real reconstructions, and come out as what was scanned."""

from __future__ import annotations

import json

import numpy as np
import pytest

from r2s_envs_objects import ObjectOptions, load_object, samples

TRUTH = json.loads((samples.FOLDER / "truth.json").read_text())


def test_every_sample_has_its_truth_and_is_small():
    assert set(samples.names()) == set(TRUTH)
    assert len(TRUTH) >= 3
    assert all(samples.path(name).stat().st_size <= 300 * 1024 for name in TRUTH)


@pytest.mark.parametrize("name", TRUTH)
def test_a_sample_is_a_raw_scan_and_loads_as_what_was_scanned(name):
    asset, truth = load_object(f"sample:{name}"), TRUTH[name]
    assert {"holes", "stray"} <= {f.code for f in asset.findings}
    assert asset.volume == pytest.approx(truth["volume_m3"], rel=0.03)
    inertia = np.linalg.eigvalsh(asset.inertia) / (asset.mass / asset.volume)
    expected = np.linalg.eigvalsh(truth["inertia_of_density_1_kgm2"])
    np.testing.assert_allclose(inertia, expected, rtol=0.08)
    # A voxel of 2.6 mm at either end.
    np.testing.assert_allclose(asset.size, truth["extents_m"], atol=0.0045)
    centre = asset.scan_to_body @ [*truth["com_m"], 1.0]
    np.testing.assert_allclose(centre[:3], 0.0, atol=0.0015)
    assert asset.scan_to_body[2, 2] > np.cos(np.radians(3.0))  # stands as it was scanned


def test_the_bottle_is_cheap_to_simulate():
    asset = load_object("sample:bottle", ObjectOptions(max_hull_vertices=32))
    assert len(asset.pieces) == 1
    assert len(asset.pieces[0]) <= 32
    assert asset.grasp_width == pytest.approx(0.036, abs=0.002)
    assert abs(asset.grasp_yaw - np.pi / 2) < 0.1


def test_the_duck_needs_more_than_one_piece():
    assert len(load_object("sample:duck").pieces) > 1
