"""An object's folder: the earlier object until the new one stands, and never a user's file lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from r2s_core.errors import AssetError
from r2s_envs_objects import object_folder
from r2s_envs_objects.object_folder import check_place, made_of, put, recover, workplace


def fill(folder: Path, source: str, pieces: int = 1) -> None:
    """The files of an object, as far as folders care."""
    (folder / "pieces").mkdir(parents=True)
    for i in range(pieces):
        (folder / "pieces" / f"piece_{i:02d}.obj").write_text(source)
    for name in ("asset.npz", "object.xml", "visual.obj", "certificate.html", "ranges.json"):
        (folder / name).write_text(source)
    facts = {"format": 1, "verdict": "simulation-ready", "source": source, "more": [1]}
    (folder / "certificate.json").write_text(json.dumps(facts))


@pytest.fixture
def mug(tmp_path):
    """An object with three pieces, and the user's own files among its own."""
    folder = tmp_path / "objects" / "mug"
    fill(folder, "old.stl", pieces=3)
    (folder / "notes.txt").write_text("mine")
    (folder / "photos").mkdir()
    (folder / "photos" / "visual.obj").write_text("mine")
    (folder / "pieces" / "by hand.obj").write_text("mine")
    return folder


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


KEPT = ["notes.txt", "photos/visual.obj", "pieces/by hand.obj"]
OURS = ["asset.npz", "certificate.html", "certificate.json", "object.xml", "ranges.json"]


def replace(folder: Path) -> None:
    with workplace(folder) as work:
        fill(work, "new.stl")
        put(work, folder)


@pytest.mark.parametrize("exchanging", [True, False])
def test_a_new_object_takes_the_place_and_the_users_files_stay(mug, exchanging, monkeypatch):
    if not exchanging:  # as on NFS or Windows

        def cannot(one, other):
            raise OSError(22, "Invalid argument")

        monkeypatch.setattr(object_folder, "_exchange", cannot)
    replace(mug)
    ours = [*OURS, "visual.obj", "pieces/piece_00.obj"]
    assert listing(mug) == sorted([*KEPT, *ours])
    assert made_of(mug) == "new.stl"
    assert all((mug / name).read_text() == "mine" for name in KEPT)
    assert [path.name for path in mug.parent.iterdir()] == ["mug"]


def test_what_is_not_put_leaves_everything_as_it_was(mug):
    before = listing(mug)

    def fail(error):
        with workplace(mug) as work:
            fill(work, "new.stl")
            (work / ".writing-1a").write_text("half")
            raise error

    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            fail(error)
    assert listing(mug) == before
    assert made_of(mug) == "old.stl"
    assert [path.name for path in mug.parent.iterdir()] == ["mug"]


def test_a_name_of_ours_that_the_user_took_is_kept_under_another(mug):
    (mug / "asset.npz").unlink()
    (mug / "asset.npz").mkdir()
    (mug / "asset.npz" / "thesis.txt").write_text("mine")
    replace(mug)
    assert (mug / "asset.npz.kept-1" / "thesis.txt").read_text() == "mine"
    assert (mug / "asset.npz").read_text() == "new.stl"


def killed(parent: Path, **folders: str) -> Path:
    """A workplace for "mug" as SIGKILL leaves it; folders: those in it, and what each holds."""
    work = parent / ".r2s-fix-dead"
    work.mkdir()
    (work / "target").write_text("mug")
    for name, source in folders.items():
        fill(work / name, source)
        (work / name / "notes.txt").write_text(source)
    return work


def test_what_killed_processes_left_is_finished_or_undone(mug):
    killed(mug.parent, new="exchanged already")
    recover(mug.parent)
    assert (mug / "notes.txt").read_text() == "mine"
    assert (mug / "notes.txt.kept-1").read_text() == "exchanged already"
    assert [path.name for path in mug.parent.iterdir()] == ["mug"]
    mug.rename(mug.parent / "away")
    killed(mug.parent, old="between the two steps", new="complete")
    recover(mug.parent)
    assert made_of(mug) == "between the two steps"
    assert sorted(path.name for path in mug.parent.iterdir()) == ["away", "mug"]


def test_a_workplace_in_use_is_left_alone(mug):
    with workplace(mug) as work:
        fill(work, "new.stl")
        recover(mug.parent)
        put(work, mug)
    assert made_of(mug) == "new.stl"


@pytest.mark.parametrize("target", ["..", "", ".", "a/b", "/etc"])
def test_a_planted_workplace_moves_nothing_out_and_loses_nothing(tmp_path, target):
    parent = tmp_path / "objects"
    parent.mkdir()
    (tmp_path / "elsewhere").mkdir()
    fill(tmp_path / "elsewhere" / "thing", "theirs")
    work = parent / ".r2s-fix-evil"
    work.mkdir()
    (work / "target").write_text(target)
    (work / "new").symlink_to(tmp_path / "elsewhere" / "thing")
    (work / "old").mkdir()
    (work / "old" / "notes.txt").write_text("theirs")
    before = listing(tmp_path)
    recover(parent)
    assert listing(tmp_path) == before


def test_only_nothing_an_empty_folder_or_an_object_gives_its_place(mug, tmp_path, monkeypatch):
    check_place(mug)
    check_place(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    check_place(tmp_path / "empty")
    (tmp_path / "link").symlink_to(mug)
    (tmp_path / "file").write_text("")
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "certificate.json").write_text('{"issuer": "somebody"}')
    for name, why in {
        "link": "is a link to",
        "file": "is not a folder",
        "tls": "holds something other than an object",
        "x" * 300: "cannot be written",
    }.items():
        with pytest.raises(AssetError, match=why):
            check_place(tmp_path / name)
    monkeypatch.chdir(mug)
    for folder in (mug, mug.parent, Path("/")):
        with pytest.raises(AssetError, match="the working directory is in it"):
            check_place(folder)


def test_a_link_among_our_names_is_removed_and_not_followed(mug, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "piece_00.obj").write_text("theirs")
    (mug / "visual.obj").unlink()
    (mug / "visual.obj").symlink_to(outside / "piece_00.obj")
    for path in (mug / "pieces").iterdir():
        path.unlink()
    (mug / "pieces").rmdir()
    os.symlink(outside, mug / "pieces")
    replace(mug)
    assert listing(outside) == ["piece_00.obj"]
    assert (outside / "piece_00.obj").read_text() == "theirs"
    assert not (mug / "pieces").is_symlink()
