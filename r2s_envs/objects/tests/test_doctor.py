"""What the doctor says of a scan: each damage has its finding, measured, and an exit status."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import trimesh

from r2s_core.cli import main
from r2s_core.errors import AssetError
from r2s_envs_objects import ObjectOptions
from r2s_envs_objects.commands.doctor import check
from r2s_envs_objects.options import on_command_line
from r2s_envs_objects.preparation import solid


@pytest.fixture
def examine(save):
    """examine(mesh, **options) -> (report, findings by code)."""

    def run(mesh, name="thing.ply", **options):
        report = check(str(save(mesh, name)), ObjectOptions(**options))
        return report, {finding["code"]: finding for finding in report["findings"]}

    return run


def test_a_sound_scan_exits_0_and_a_damaged_one_1(sphere, save, capsys, tmp_path):
    assert main(["object", "check", str(save(sphere))]) == 0
    assert "nothing worse than a note" in capsys.readouterr().out
    sphere.invert()
    assert main(["object", "check", str(save(sphere, "inverted.stl")), "--mass", "0.05"]) == 1
    told = capsys.readouterr().out
    assert "inside out: turned" in told
    assert "50 x 50 x 50 mm" in told
    assert "0.05 kg" in told
    assert not (tmp_path / "cache").exists()  # it changes nothing


def test_a_refusal_is_one_sentence_and_exits_1(tmp_path, capsys):
    path = tmp_path / "scan.stl"
    path.write_bytes(b"\0" * 500)
    assert main(["object", "check", str(path)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "its STL header claims 0 faces" in told.err
    assert main(["object", "check", str(path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "refused"
    assert "its STL header claims 0 faces" in report["refused"]


def test_the_json_tells_all(box, save, capsys):
    assert main(["object", "check", str(save(box)), "--material", "wood", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "sound"
    assert report["mass_kg"] == pytest.approx(1.2e-4 * 600, rel=1e-5)
    assert report["mass_range_kg"] == pytest.approx([1.2e-4 * 350, 1.2e-4 * 900], rel=1e-5)
    assert report["size_m"] == pytest.approx([0.04, 0.06, 0.05])
    assert report["units"] == "m"


def test_how_far_the_surface_moved_is_measured(sphere, examine):
    open_ = sphere.copy()
    open_.update_faces(sphere.triangles_center[:, 2] < 0.020)
    report, found = examine(open_)
    # The cap beyond a plane at 20 mm: its fan's middle is farthest from the rim that is left.
    rim = np.sqrt(0.025**2 - open_.triangles[:, :, 2].max() ** 2)
    assert found["holes"]["moved"] == pytest.approx(rim, rel=0.05)
    assert found["holes"]["volume_change"] == pytest.approx(0.09, abs=0.01)
    assert report["watertight"] == {"before": False, "after": True}


def test_what_is_dropped_is_measured(sphere, examine):
    fly = trimesh.creation.icosphere(subdivisions=1, radius=0.002).apply_translation((0.06, 0, 0))
    _, found = examine(trimesh.util.concatenate([sphere, fly]))
    assert found["stray"]["moved"] == pytest.approx(0.062 - 0.025, rel=0.02)
    assert found["stray"]["volume_change"] == pytest.approx(-(0.002**3) / 0.025**3, rel=0.3)


def test_many_faces_are_thinned_for_pictures_only(examine):
    fine = trimesh.creation.icosphere(subdivisions=6, radius=0.025)
    report, found = examine(fine)
    assert "81920 faces" in found["many-faces"]["what"]
    assert 0.0 < found["many-faces"]["moved"] < 1e-4
    assert report["volume_m3"] == pytest.approx(fine.volume, rel=1e-6)


def test_a_thin_shell_is_warned_of_and_paper_refused(sphere, examine):
    def shell(wall):
        inner = sphere.copy().apply_scale(1.0 - wall / 0.025)
        inner.invert()
        both = trimesh.util.concatenate([sphere, inner])
        assert isinstance(both, trimesh.Trimesh)
        # A slit joins the two surfaces to one, as the rim of a bowl does.
        both.update_faces(np.tile(sphere.triangles_center[:, 2] < 0.022, 2))
        return _bridged(both)

    _, found = examine(shell(0.001))
    assert "under 2 mm behind it" in found["thin"]["what"]
    assert "thin" not in examine(shell(0.006))[1]
    with pytest.raises(AssetError, match="micrometres thick"):
        examine(shell(0.00005))


def _bridged(mesh):
    """The mesh with its two rims, of the same number of vertices, joined by a band."""
    from r2s_envs_objects.mesh.topology import boundary_loops

    outer, inner = boundary_loops(np.asarray(mesh.faces))
    by_angle = [loop[np.argsort(np.arctan2(*mesh.vertices[loop, :2].T))] for loop in (outer, inner)]
    a, b = by_angle
    c, d = np.roll(a, -1), np.roll(b, -1)
    band = np.concatenate([np.c_[a, b, c], np.c_[c, b, d]])
    return trimesh.Trimesh(mesh.vertices, np.concatenate([mesh.faces, band]), process=False)


def test_a_surface_that_passes_through_itself(sphere, examine):
    bent = sphere.copy()
    away = bent.vertices[:, 2] > 0.02
    bent.vertices[away, 2] -= 0.047  # the cap is pushed out through the bottom
    _, found = examine(bent)
    assert "intersects itself" in found["self-intersection"]["what"]


def test_far_from_the_origin_and_lying_on_its_side(examine):
    cone = trimesh.creation.cone(radius=0.03, height=0.06)
    upright = examine(cone)[1]
    assert "up-axis" not in upright
    assert "origin" not in upright
    cone.apply_transform(trimesh.transformations.rotation_matrix(-np.pi / 2, [1, 0, 0]))
    cone.apply_translation((3.0, 0, 0))
    found = examine(cone)[1]
    assert "--up y" in found["up-axis"]["what"]
    assert found["origin"]["repaired"]
    assert "up-axis" not in examine(cone, up="y")[1]


@pytest.mark.parametrize(
    ("name", "line", "unit"),
    [
        ("a.obj", b"# Units: centimeters\n", "cm"),
        ("a.obj", b"# exported in inches\n", "inch"),
        ("a.obj", b"# file unit = mm\n", "mm"),
        ("a.ply", b"comment unit: cm\n", "cm"),
        ("a.stl", b"UNITS=mm", "mm"),
        ("a.obj", b"# made in Berlin, unit 7, a main thing\n", None),
    ],
)
def test_a_files_own_word_on_its_unit_is_taken(ell, tmp_path, name, line, unit):
    ell.apply_scale(100.0)  # 8 x 8 x 3: too ambiguous to decide by size
    path = tmp_path / name
    ell.export(path)
    data = path.read_bytes()
    if name == "a.stl":
        data = line.ljust(80) + data[80:]
    elif name == "a.ply":
        data = data.replace(b"element vertex", line + b"element vertex")
    else:
        data = line + data
    path.write_bytes(data)
    if unit is None:
        with pytest.raises(AssetError, match="say which with `units: "):
            check(str(path), ObjectOptions())
        return
    report = check(str(path), ObjectOptions())
    assert report["units"] == unit
    assert f"the file says {unit}" in " ".join(f["what"] for f in report["findings"])
    assert max(report["size_m"]) == pytest.approx({"cm": 0.08, "inch": 0.2032, "mm": 0.008}[unit])


def test_a_files_word_that_cannot_be_is_not_believed(box, tmp_path):
    path = tmp_path / "a.obj"
    path.write_bytes(b"# unit: m\n" + str(box.apply_scale(1000).export(file_type="obj")).encode())
    report = check(str(path), ObjectOptions())
    assert report["units"] == "mm"
    assert any(f["code"] == "units-contradicted" for f in report["findings"])


def test_a_mass_no_arm_lifts_and_one_that_cannot_be(box, examine):
    assert "heavy" not in examine(box, mass=0.3)[1]
    assert (
        "more than the robot lifts (3 kg with its Franka Hand)"
        in examine(box, density=19000.0, scale=1.5)[1]["heavy"]["what"]
    )
    with pytest.raises(AssetError, match="outside 20 to 20000"):
        examine(box, mass=0.001)


def test_more_faces_than_memory_takes_are_reduced_first_and_that_is_said(sphere, monkeypatch):
    monkeypatch.setattr(solid, "WORKING_FACES", 2000)
    data = sphere.export(file_type="stl")
    made = solid.solidify(data, ".stl", "scan", ObjectOptions())
    assert "5120 faces: decimated to 2000" in made.findings[0].what
    assert (made.was_faces, made.full_faces) == (5120, 2000)
    assert made.volume == pytest.approx(sphere.volume, rel=0.005)


def test_what_a_gripper_cannot_span_is_said(save, capsys):
    cube = trimesh.creation.box((0.12, 0.12, 0.12))
    assert main(["object", "check", str(save(cube))]) == 1
    told = capsys.readouterr().out
    assert "too wide for the 80 mm gripper" in told
    assert "spans 120 mm at its narrowest (limit 76), and no grasp elsewhere was found" in told
    assert "set `--scale`" in told
    assert main(["object", "check", str(save(cube)), "--scale", "0.5"]) == 0
    assert "60 x 60 x 60 mm (the file is in m)" in capsys.readouterr().out


def test_a_ring_that_can_be_held_at_its_rim_is_only_noted(examine):
    found = examine(trimesh.creation.annulus(0.055, 0.06, 0.05))[1]
    assert "fit elsewhere, as on a rim" in found["wide"]["what"]
    assert found["wide"]["severity"] == "info"
    assert "too-wide" not in found


def test_more_may_be_invented_where_the_user_says_so(sphere, save, capsys):
    half = sphere.copy()
    half.update_faces(sphere.triangles_center[:, 2] < 0.008)
    path = str(save(half))
    assert main(["object", "check", path]) == 1
    told = capsys.readouterr().err
    share = re.search(r"or allow it with `--max-filled (0\.3\d)`", told)
    assert share is not None
    assert main(["object", "check", path, "--max-filled", share[1]]) == 1  # a warning
    assert "1 hole closed, 3" in capsys.readouterr().out


def test_messages_speak_of_arguments_on_the_command_line(ell, save, capsys):
    path = str(save(ell.apply_scale(100.0)))
    assert main(["object", "check", path]) == 1
    assert "`--units mm`, `--units cm` or `--units inch`" in capsys.readouterr().err
    assert main(["object", "check", path, "--json"]) == 1
    assert "`--units cm`" in json.loads(capsys.readouterr().out)["refused"]
    assert on_command_line("set `up: -y` or `max_pieces`; not `this`, `r2s object check`") == (
        "set `--up=-y` or `--max-pieces`; not `this`, `r2s object check`"
    )
