"""Real scans (YCB, Google Scanned Objects) where they lie beside the checkout: ../shared/scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from r2s_core.errors import AssetError
from r2s_envs_objects import ObjectOptions, load_object

SCANS = Path(__file__).resolve().parents[4] / "shared" / "scans"

pytestmark = pytest.mark.skipif(not SCANS.is_dir(), reason=f"no scans in {SCANS}")

#: Volumes in cm3 of the closed originals; the gripper cannot span the last ones at their centre.
CLEAN = {
    "ycb_mustard_bottle.obj": 612,
    "ycb_tomato_soup_can.stl": 319,
    "ycb_cracker_box.stl": 2173,
    "ycb_banana.ply": 171.5,
    "ycb_power_drill.stl": 581,
    "ycb_foam_brick.stl": 185,
    "gso_boat_shoe.ply": 553,
    "gso_dino.obj": 265.5,
    "gso_hammer.stl": 312,
}
TOO_WIDE = ("ycb_wood_block.ply", "ycb_mug.obj", "ycb_bowl.ply", "ycb_large_clamp.ply")
#: One hull each: the decomposition has its own tests, and takes seconds on these.
QUICK = ObjectOptions(max_pieces=1)


@pytest.mark.parametrize("name", CLEAN)
def test_clean_scans_load(name):
    asset = load_object(SCANS / "clean" / name, QUICK)
    assert asset.volume * 1e6 == pytest.approx(CLEAN[name], rel=0.03)
    assert 20.0 <= asset.mass / asset.volume <= 20000.0
    low, mid, high = np.linalg.eigvalsh(asset.inertia)
    assert low > 0.0
    assert low + mid >= high
    assert asset.resting_qpos.height > 0.01
    assert asset.grasp_width <= 0.076


@pytest.mark.parametrize("name", [*TOO_WIDE, "gso_utensil_holder.ply"])
def test_scans_wider_than_the_gripper_are_refused(name):
    with pytest.raises(AssetError, match="too wide for the 80 mm gripper"):
        load_object(SCANS / "clean" / name, QUICK)


REFUSED = {
    "brick_truncated.stl": "claims 16384 faces but the file has room for 8191",
    "can_double_registration.ply": "one object scanned twice",
    "empty.obj": "no vertices",
    "flat_sheet.obj": "enclose nothing",
    "index_out_of_range.obj": "line 4: face index '9' is out of range",
    "lying_header_4billion.stl": "claims 4294967295 faces",
    "lying_pcd_header.pcd": "a point cloud; make a mesh of it with `r2s object reconstruct`",
    "lying_ply_header.ply": "claims 2000000000 x vertex",
    "mug_no_bottom_offcentre_yup.ply": "would add",
}
REPAIRED = {
    "banana_holes_dups_mixed_winding.ply": ("wound against", "ycb_banana.ply"),
    "brick_inside_out.stl": ("inside out", "ycb_foam_brick.stl"),
    "can_nan_inf.ply": ("NaN or infinite", "ycb_tomato_soup_can.stl"),
    "mustard_mm_floaters.stl": ("taken as millimetres", "ycb_mustard_bottle.obj"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_hopeless_scans_are_refused_for_the_right_reason(name):
    with pytest.raises(AssetError) as error:
        load_object(SCANS / "dirty" / name, QUICK)
    assert REFUSED[name] in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", REPAIRED)
def test_damaged_scans_come_out_as_the_clean_ones(name):
    finding, original = REPAIRED[name]
    asset = load_object(SCANS / "dirty" / name, QUICK)
    assert any(finding in f.what and f.repaired for f in asset.findings)
    assert asset.volume * 1e6 == pytest.approx(CLEAN[original], rel=0.03)


def test_every_dirty_file_has_a_verdict():
    assert {p.name for p in (SCANS / "dirty").iterdir()} <= {*REFUSED, *REPAIRED}
