"""`r2s object fix`: what the user finds in the folder, and the exit status."""

from __future__ import annotations

import json

import mujoco
import numpy as np
import pytest
import trimesh

from r2s_core.cli import main
from r2s_core.errors import AssetError
from r2s_core.rendering import render
from r2s_envs_objects import ObjectOptions, load_object
from r2s_envs_objects.certificate import checks
from r2s_envs_objects.certificate.certify import Certificate
from r2s_envs_objects.certificate.checks import CheckResult
from r2s_envs_objects.certificate.page import write_certificate
from r2s_envs_objects.commands.fix import fix


def certificate(folder):
    return json.loads((folder / "certificate.json").read_text())


class Offered:
    """An entry point for a check."""

    name, value, dist = "hold", "somewhere:check", None

    def __init__(self, result):
        self._result = result

    def load(self):
        def check(asset, robot, pictures):
            if isinstance(self._result, Exception):
                raise self._result
            return self._result

        return check


@pytest.fixture
def broken(tmp_path):
    """A scan that is refused."""
    path = tmp_path / "broken.stl"
    path.write_bytes(b"\0" * 80 + (10).to_bytes(4, "little") + b"\0" * 300)
    return path


@pytest.fixture
def hold(monkeypatch):
    """hold(result) -> the only check installed has that result; by default there is none."""

    def offer(*results):
        points = [Offered(result) for result in results]
        monkeypatch.setattr(checks, "installed", lambda: points)

    offer()
    return offer


def test_a_box_is_certified_and_its_model_stands_alone(box, save, tmp_path, hold, capsys):
    folder = tmp_path / "out" / "box"
    scan = save(box, "a <box> & co.ply")
    status = main(["object", "fix", str(scan), "-o", str(folder), "--mass", "0.3", "--no-pictures"])
    assert status == 0
    facts = certificate(folder)
    assert facts["passed"] is True
    assert facts["graspable"] is None
    assert facts["units"] == "m"
    assert facts["volume_m3"] == pytest.approx(1.2e-4, rel=1e-4)
    assert facts["mass_kg"] == 0.3
    assert np.shape(facts["inertia"]) == (3, 3)
    assert facts["pieces"] == 1
    assert facts["iou"] == pytest.approx(1.0, abs=0.01)
    assert facts["cost_ratio"] > 0.1
    assert len(facts["resting_poses"]) == 6
    assert facts["settles"]["jitter_m"] < 1e-4
    assert json.loads((folder / "ranges.json").read_text())["mass_range_kg"][0] < 0.3
    model = mujoco.MjModel.from_xml_path(str(folder / "object.xml"))
    assert model.body("object").mass[0] == pytest.approx(0.3)
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    before = data.qpos.copy()
    mujoco.mj_step(model, data, nstep=500)
    assert np.abs(data.qpos - before).max() < 5e-4
    page = (folder / "certificate.html").read_text()
    assert "a &lt;box&gt; &amp; co" in page
    assert "<img" not in page
    assert f"environment.objects=[{folder}]" in page  # how to train on it
    said = capsys.readouterr().out
    assert "simulation-ready (no gripper has tried it)" in said
    assert "no gripper is installed" in said
    assert load_object(folder).mass == 0.3


def test_the_certificate_is_the_same_every_time(ell, save, tmp_path, hold):
    scan = str(save(ell))
    runs = [fix(scan, ObjectOptions(), tmp_path / name, pictures=False) for name in ("a", "b")]
    for facts in runs:
        facts.pop("timings_s")
        facts.pop("cost_ratio")  # measured speed
    assert runs[0] == runs[1]


def test_too_wide_a_block_is_ready_but_not_graspable(save, tmp_path, hold, capsys):
    hold(CheckResult(False, "not graspable: no grasp fits"))
    block, folder = save(trimesh.creation.box((0.09, 0.09, 0.09))), tmp_path / "block"
    arguments = ["object", "fix", str(block), "-o", str(folder), "--no-pictures"]
    assert main(arguments) == 0
    assert certificate(folder)["passed"] is True
    assert certificate(folder)["graspable"] is False
    assert "simulation-ready but not graspable" in capsys.readouterr().out
    with pytest.raises(AssetError, match="could not hold it"):
        load_object(folder)
    assert main([*arguments, "--force"]) == 0
    assert load_object(folder).forced


def test_a_grasp_that_held_becomes_the_one_to_train_on(save, tmp_path, hold):
    from r2s_envs_objects import GraspPose

    rim = GraspPose((0.0, 0.04, 0.02), np.pi / 2, 0.005, 1.0)
    hold(CheckResult(True, "held", grasp=rim))
    block = save(trimesh.creation.box((0.09, 0.09, 0.09)))
    fix(str(block), ObjectOptions(), tmp_path / "block", pictures=False)
    asset = load_object(tmp_path / "block")
    assert asset.graspable is True
    assert (asset.grasp_width, asset.grasp_height) == (0.005, 0.02)
    assert asset.grasp_offset == pytest.approx(0.04)
    assert asset.grasp_across == pytest.approx(0.0)


def test_a_check_that_breaks_is_said_and_harms_nothing(box, save, tmp_path, hold):
    hold(RuntimeError("no arm"))
    facts = fix(str(save(box)), ObjectOptions(), tmp_path / "box", pictures=False)
    assert facts["passed"]
    assert facts["graspable"] is None
    assert "RuntimeError: no arm" in facts["checks"]["hold"]["summary"]


def test_a_refused_scan_has_a_certificate_that_says_so(tmp_path, hold, broken, capsys):
    folder = tmp_path / "thing"
    assert main(["object", "fix", str(broken), "-o", str(folder)]) == 1
    assert "refused: " in capsys.readouterr().out
    facts = certificate(folder)
    assert facts["passed"] is False
    assert "truncated" in facts["problem"]
    assert "truncated" in (folder / "certificate.html").read_text()
    with pytest.raises(AssetError, match=r"its scan was refused: .*truncated"):
        load_object(folder)


def test_a_refused_fix_leaves_the_good_object(box, save, tmp_path, hold, broken, capsys):
    scan, folder = save(box), tmp_path / "thing"
    fix(str(scan), ObjectOptions(), folder, pictures=False)
    (folder / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for arguments in ([str(broken)], [str(scan), "--mass", "500"]):
        assert main(["object", "fix", *arguments, "-o", str(folder)]) == 1
        said = capsys.readouterr().out
        assert f"{folder} still holds the object made of {scan}" in said
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert main(["object", "fix", str(scan), "-o", str(folder), "--mass", "0.2"]) == 0
    assert f"replaces     the object made of {scan}" in capsys.readouterr().out
    assert (folder / "notes.txt").read_text() == "mine"
    assert load_object(folder).mass == 0.2


@pytest.mark.parametrize("source", ["nowhere.stl", "no folder/asset.npz", "notes.txt", "empty.stl"])
def test_where_there_is_no_scan_nothing_is_written(tmp_path, monkeypatch, capsys, source):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no scan")
    (tmp_path / "empty.stl").write_text("")
    assert main(["object", "fix", source]) == 1
    assert source in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.stl", "notes.txt"]


def test_nothing_in_a_page_is_obeyed(tmp_path):
    """Whatever text comes from a file, or from a check of somebody's."""
    evil = '"><script>alert(1)</script>\x1b[2J'
    finding = {"what": evil, "severity": "warning", "repaired": False, "moved": 0.0, "code": evil}
    facts = {
        **{"verdict": evil, "name": evil, "source": evil, "problem": evil, "passed": False},
        **{"graspable": None, "forced": False, "units": evil, "size_m": [0.1, 0.1, 0.1]},
        **{"mass_range_kg": [0.1, 0.2], "mass_kg": 0.1, "volume_m3": 1e-3, "iou": None},
        **{"surface_p95_m": None, "pieces": 1, "cost_ratio": None, "grasp_share": 0.0},
        **{"grasp_class": "none", "inertia": np.eye(3).tolist(), "settles": None},
        **{"friction": 1.0, "friction_range": [0.5, 1.5], "hull_vertices": [8]},
        **{"robot": evil, "gripper": {"name": evil, "opening": 0.08}},
        **{"content_hash": evil, "asset_sha256": evil, "resting_poses": [], "grasps": []},
        **{"timings_s": {evil: evil}, "versions": {evil: evil}},
        **{"reservations": [evil], "volume_error": None},
        "checks": {evil: {"passed": True, "summary": evil}},
        "findings": [finding | {"volume_change": 0.0}],
    }
    certificate = Certificate(facts, [(evil, evil, b"png")], [evil], b"mp4")
    write_certificate(tmp_path / "page.html", certificate, evil)
    page = (tmp_path / "page.html").read_text()
    assert page.count("&lt;script&gt;") >= 12
    assert "<script" not in page
    assert "\x1b" not in page


def test_other_peoples_folders_are_left_alone(box, save, tmp_path, hold):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("dear")
    with pytest.raises(AssetError, match="holds something other"):
        fix(str(save(box)), ObjectOptions(), folder, pictures=False)
    assert [p.name for p in folder.iterdir()] == ["thesis.txt"]


def test_nothing_is_left_where_writing_fails(box, save, tmp_path, hold, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    (tmp_path / "library").mkdir()
    with pytest.raises(AssetError, match=r"No space left on device.*is unchanged"):
        fix(str(save(box)), ObjectOptions(), tmp_path / "library" / "box", pictures=False)
    assert list((tmp_path / "library").iterdir()) == []


def test_pictures_are_in_the_page_or_one_line_says_why_not(box, save, tmp_path, hold, monkeypatch):
    scan = str(save(box))
    if render.probe_gl():
        fix(scan, ObjectOptions(), tmp_path / "seen")
        page = (tmp_path / "seen" / "certificate.html").read_text()
        assert page.count("data:image/png;base64,") == 7  # six poses of a box are three
        assert page.count("(2 poses alike)</figcaption>") == 3
        assert page.count("data:video/mp4;base64,") == 1
        assert "convex piece for collisions" in page
        assert 'src="http' not in page
    monkeypatch.setattr(render, "probe_gl", lambda: None)
    fix(scan, ObjectOptions(), tmp_path / "blind")
    page = (tmp_path / "blind" / "certificate.html").read_text()
    assert "apt-get install" in page or "MUJOCO_GL" in page


@pytest.mark.parametrize("arguments", [["--mass", "-1"], ["--mass", "heavy"], ["--density", "5"]])
def test_absurd_arguments_are_refused_before_anything_is_read(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["object", "fix", "nothing.stl", *arguments])
    assert stopped.value.code == 2
    assert "argument --" in capsys.readouterr().err
