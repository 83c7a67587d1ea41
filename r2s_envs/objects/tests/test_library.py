"""`r2s object library`: which files are scans, what objects are called, what a failure costs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from r2s_core.cli import main
from r2s_core.errors import AssetError
from r2s_core.system.worker import python_command
from r2s_envs_objects import load_object
from r2s_envs_objects.commands import library
from r2s_envs_objects.guard import crew
from r2s_envs_objects.names import object_name
from r2s_envs_objects.scan.scans import names_of, scans_in


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"rubbish" * 20)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("scans/mug.stl", "mug"),
        ("ycb/003_cracker_box/google_16k/textured.obj", "003_cracker_box"),
        ("gso/ACE_Coffee_Mug/meshes/model.obj", "ACE_Coffee_Mug"),
        ("duck/Mesh.PLY", "duck"),
        ("scan.stl", "scan"),
        (os.fsdecode(b"Gr\xf6\xdfe.stl"), "Gr__e"),
        ("Größe 2.stl", "Größe 2"),
        ("a\n\x1b[31mb.stl", "a__[31mb"),
    ],
)
def test_an_object_is_named_after_what_tells(tmp_path, file, name):
    assert object_name(tmp_path / file) == name


@pytest.mark.parametrize(
    "file", ["...stl", "..stl", ".stl", ".mug.stl", "._mug.stl", " .stl", "NUL.stl", "com1.x.stl"]
)
def test_names_that_would_be_another_place_are_refused(file, capsys):
    with pytest.raises(AssetError, match="so the object has no name"):
        object_name(Path(file))
    assert main(["object", "fix", file]) == 1
    assert "rename the scan" in capsys.readouterr().err


def test_each_folder_of_a_data_set_is_one_object(tmp_path):
    touch(
        tmp_path,
        "mug.stl",
        "._mug.stl",
        ".hidden/cup.stl",
        "notes.txt",
        "003_box/google_16k/textured.obj",
        "003_box/google_16k/nontextured.stl",
        "003_box/poisson/nontextured.ply",
        "ACE_Mug/meshes/model.obj",
        "kitchen/bowl.ply",
        "done/visual.obj",
    )
    facts = {"format": 1, "verdict": "simulation-ready", "source": "x.stl"}
    (tmp_path / "done" / "certificate.json").write_text(json.dumps(facts))
    scans = scans_in(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in scans.paths] == [
        "003_box/google_16k/textured.obj",
        "ACE_Mug/meshes/model.obj",
        "kitchen/bowl.ply",
        "mug.stl",
    ]
    assert scans.others == ["notes.txt"]
    assert len(scans.spare) == 2
    assert names_of(scans.paths, tmp_path) == ["003_box", "ACE_Mug", "bowl", "mug"]


def test_no_two_objects_share_a_name(tmp_path):
    files = ["a/mug.stl", "b/mug.stl", "b/Mug.ply", "c/cup.obj", "cup.stl", "...stl"]
    names = names_of([tmp_path / file for file in files], tmp_path)
    assert names[:5] == ["a_mug_stl", "b_mug_stl", "Mug_ply", "cup_obj", "cup_stl"]
    assert isinstance(names[5], AssetError)


def test_one_broken_scan_stops_no_other(box, tmp_path, capsys):
    scans = tmp_path / "scans"
    scans.mkdir()
    box.export(scans / "thing.ply")
    touch(scans, "thing.stl", "con.stl")
    (scans / "notes.txt").write_text("no scan")
    out = tmp_path / "library"
    arguments = ["object", "library", str(scans), "-o", str(out), "--jobs", "2"]
    assert main([*arguments, "--no-pictures"]) == 1  # one of them has no name
    said = capsys.readouterr().out
    assert "no scans: notes.txt" in said
    assert "1 of 3 simulation-ready" in said
    index = {e["folder"]: e for e in json.loads((out / "library.json").read_text())["objects"]}
    assert list(index) == [None, "thing_ply", "thing_stl"]
    assert "device on Windows" in index[None]["problem"]
    assert index["thing_stl"]["verdict"] == "refused"
    assert "thing.stl" in index["thing_stl"]["problem"]
    assert index["thing_ply"]["passed"]
    assert load_object(out / "thing_ply").size == pytest.approx([0.04, 0.06, 0.05])


@pytest.fixture
def shelf(tmp_path):
    """A library with an object of an earlier run, the user's file in it, and a folder of theirs."""
    shelf = tmp_path / "library"
    (shelf / "thing").mkdir(parents=True)
    facts = {"format": 1, "verdict": "simulation-ready", "source": "earlier.stl"}
    (shelf / "thing" / "certificate.json").write_text(json.dumps(facts))
    (shelf / "thing" / "asset.npz").write_text("an object")
    (shelf / "thing" / "notes.txt").write_text("mine")
    touch(shelf, "mug/thesis.txt")
    return shelf


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "library.json"
    }


CODES = {
    "SIGABRT": "import os; os.abort()",
    "sorry": "import sys; print('sorry', file=sys.stderr); sys.exit(1)",
    "No space left": "raise OSError(28, 'No space left on device')",
    "status 3": "import os; os._exit(3)",
}


@pytest.mark.parametrize("why", CODES)
def test_whatever_happens_to_fix_nothing_that_was_there_goes(shelf, monkeypatch, why):
    before = content(shelf)
    monkeypatch.setattr(crew, "_R2S", ("-c", CODES[why]))
    (entry,) = library.make_library([Path("thing.stl")], shelf, 1)
    assert entry["verdict"] == "failed"
    assert why in entry["problem"]
    assert content(shelf) == before


def test_refused_scans_take_nothing_along(shelf, tmp_path, monkeypatch, capsys):
    scans = tmp_path / "scans"
    touch(scans, "thing.stl", "mug.stl", "...stl", "..stl")
    before = content(shelf)
    monkeypatch.chdir(scans)
    assert main(["object", "library", ".", "-o", str(shelf), "--no-pictures"]) == 1
    assert content(shelf) == before
    assert sorted(os.listdir(scans)) == ["...stl", "..stl", "mug.stl", "thing.stl"]
    said = capsys.readouterr().out
    assert "thing: refused; the folder still holds the object made of earlier.stl" in said
    assert "holds something other than an object" in said


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_library_that_is_ended_takes_its_children_along(tmp_path, signum):
    (tmp_path / "pids").mkdir()
    child = "import os, time; open(f'pids/{os.getpid()}', 'w'); time.sleep(60)"
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's & ignores it,
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # and nohup this one
        "from pathlib import Path\n"
        "from r2s_envs_objects.commands import library\n"
        "from r2s_envs_objects.guard import crew\n"
        "from r2s_core.system.signals import Ended, tidy_end\n"
        f"crew._R2S = ('-c', {child!r})\n"
        "try:\n"
        "    with tidy_end():\n"
        "        library.make_library([Path('a.stl'), Path('b.stl')], Path('out'), 2)\n"
        "except Ended as end: sys.exit(end.exit_code)\n"
        "except KeyboardInterrupt: sys.exit(130)"
    )
    process = subprocess.Popen(python_command("-c", code), cwd=tmp_path)
    until = time.monotonic() + 20
    while len(os.listdir(tmp_path / "pids")) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signum)
    assert process.wait(20) == 128 + signum
    pids = os.listdir(tmp_path / "pids")
    assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert os.listdir(tmp_path / "out") == []


def test_a_scan_that_takes_too_long_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(crew, "_R2S", ("-c", "import time; time.sleep(60)"))
    monkeypatch.setattr(crew, "SECONDS", 0.5)
    (entry,) = library.make_library([tmp_path / "thing.stl"], tmp_path / "library", 1)
    assert "took more than" in entry["problem"]


def test_a_place_that_is_not_for_libraries_is_refused_at_once(tmp_path):
    scan = tmp_path / "thing.stl"
    (tmp_path / "library.json").write_text('{"books": []}')
    with pytest.raises(AssetError, match="was not written by r2s"):
        library.make_library([scan], tmp_path, 1)
    (tmp_path / "file").write_text("")
    with pytest.raises(AssetError, match="cannot be written"):
        library.make_library([scan], tmp_path / "file" / "library", 1)


def test_a_folder_that_may_not_be_read_is_not_passed_over(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    (tmp_path / "mug.stl").touch()
    scandir = os.scandir  # which lets root read everything

    def refusing(path):
        if Path(path).name == "below":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refusing)
    with pytest.raises(AssetError, match=r"below: this folder cannot be read \(Permission denied"):
        scans_in(tmp_path)


def test_a_folder_without_scans_is_refused(tmp_path):
    with pytest.raises(AssetError, match="no scans in it"):
        scans_in(tmp_path)
    with pytest.raises(AssetError, match="no such folder"):
        scans_in(tmp_path / "nowhere")
