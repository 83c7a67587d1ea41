"""From names in a YAML to the objects of a task."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
from pathlib import Path

import mujoco
import numpy as np
import pytest
import trimesh

from r2s_core import cli
from r2s_core.config import load_config
from r2s_core.errors import AssetError
from r2s_core.system.text import say_once
from r2s_envs_objects import load_object, samples
from r2s_envs_objects.object_folder import ASSET
from r2s_envs_objects.store.prepared import write_asset
from r2s_envs_pick_place.config import PickPlaceConfig
from r2s_envs_pick_place.task.make import _loaded, keep_inputs, make

QUICKSTART = Path(__file__).parents[3] / "configs" / "quickstart.yaml"


@pytest.fixture(autouse=True)
def nothing_said_yet():
    """What is said once in a process may have been said in another test."""
    say_once.cache_clear()


def names(**options) -> dict[str, bool]:
    """Object -> whether it is held out."""
    things = make(PickPlaceConfig(**options)).objects.members
    return {thing.shape.name: thing.held_out for thing in things}


def test_objects_come_in_every_size_and_held_out_ones_too():
    found = names(
        objects=("sample:bottle", "sample:soap"),
        held_out_objects=("sample:carton",),
        object_scales=(0.9, 1.1),
    )
    assert found == {
        "bottle@0.9": False,
        "bottle@1.1": False,
        "soap@0.9": False,
        "soap@1.1": False,
        "carton@0.9": True,
        "carton@1.1": True,
    }


def test_an_object_cannot_be_trained_on_and_held_out():
    with pytest.raises(AssetError, match="sample:soap is held out and trained on"):
        make(PickPlaceConfig(objects=("sample:soap",), held_out_objects=("sample:soap",)))


def test_a_run_s_own_copies_make_the_very_same_scene(library, tmp_path):
    """Scans and prepared objects, in a size of their own, come back from their files bit by bit."""
    folder, sources = tmp_path / "kept", []
    folder.mkdir()

    def keep(name, data, source=None):
        sources.append(source)
        path = folder / f"{len(sources)}.npz"
        path.write_bytes(data)
        return path

    config = PickPlaceConfig(
        objects=(library / "bottle", library / "soap.ply"),
        held_out_objects=("sample:carton",),
        object_mass=0.2,
        object_scale=0.9,
    )
    original, kept = make(config), keep_inputs(config, keep)
    assert sources == [library / "bottle" / ASSET, library / "soap.ply", samples.path("carton")]
    shutil.rmtree(library / "bottle")
    for options in (kept, keep_inputs(kept, keep)):
        task = make(options)
        assert task.objects.names == original.objects.names == ("bottle", "soap", "carton")
        assert _bytes(task.scene().model) == _bytes(original.scene().model)
        for ours, theirs in zip(task.objects.members, original.objects.members, strict=True):
            np.testing.assert_array_equal(ours.rest_quat, theirs.rest_quat)
            assert ours.mass_range == theirs.mass_range
            assert (ours.held_out, ours.poses) == (theirs.held_out, theirs.poses)


def _bytes(model: mujoco.MjModel) -> bytes:
    buffer = np.zeros(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return buffer.tobytes()


def masses(library, **options) -> list[float]:
    """Of the prepared bottle, and of a scan, in kg."""
    config = PickPlaceConfig(objects=(library / "bottle", "sample:soap"), **options)
    return [loaded.asset.mass for loaded in _loaded(config)]


def test_a_certified_mass_is_replaced_only_by_name_and_aloud(library, capfd):
    certified, estimated = masses(library)
    assert capfd.readouterr().err == ""
    assert masses(library, object_mass=0.2) == [certified, 0.2]
    assert f"bottle: keeps the {certified:.3g} kg with which it was" in capfd.readouterr().err
    assert masses(library, object_masses={"sample:soap": 0.2}) == [certified, 0.2]
    assert capfd.readouterr().err == ""
    assert masses(library, object_masses={"bottle": 0.3}) == [pytest.approx(0.3), estimated]
    assert "0.3 kg from environment.object_masses overrides" in capfd.readouterr().err
    masses(library, object_masses={"sample:duck": 0.1})
    assert "sample:duck is none of the objects here; ignored" in capfd.readouterr().err
    with pytest.raises(ValueError, match=r"object_masses\.bottle is -1"):
        PickPlaceConfig(object_masses={"bottle": -1.0})


def test_the_mass_of_the_quickstarts_duck_is_no_other_objects(library):
    """The README's own example: a scan of yours in its place keeps its mass."""
    options = load_config(QUICKSTART).environment.options
    (duck,) = _loaded(options)
    assert duck.asset.mass == 0.1
    (bottle,) = _loaded(dataclasses.replace(options, objects=(library / "bottle",)))
    assert bottle.asset.mass == load_object(library / "bottle").mass


def test_a_refused_scans_folder_says_why(tmp_path):
    facts = {"format": 1, "verdict": "refused", "source": "a.stl", "problem": "a.stl: truncated"}
    (tmp_path / "certificate.json").write_text(json.dumps(facts))
    with pytest.raises(AssetError, match=r"its scan was refused: a\.stl: truncated"):
        make(PickPlaceConfig(objects=(tmp_path,)))


@pytest.mark.parametrize("key", ["objects", "held_out_objects", "reconstructed_objects_dir"])
def test_validate_misses_a_scan_that_is_not_there(tmp_path, capsys, key):
    path = tmp_path / "x.yaml"
    name = "nowhere.stl" if key == "reconstructed_objects_dir" else "[sample:duck, nowhere.stl]"
    path.write_text(f"environment: {{{key}: {name}}}\n")
    assert cli.main(["validate", str(path)]) == 2
    expected = f"environment.{key}: {tmp_path / 'nowhere.stl'}: no such file; "
    expected += "check the path of what it names\n"
    assert capsys.readouterr().err == expected


def test_validate_refuses_what_is_no_file_and_what_may_not_be_read(tmp_path, capsys, monkeypatch):
    path, fifo, scan = tmp_path / "x.yaml", tmp_path / "a.stl", tmp_path / "b.stl"
    os.mkfifo(fifo)
    scan.write_bytes(b"")
    path.write_text("environment: {objects: [a.stl]}\n")
    assert cli.main(["validate", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"environment.objects: {fifo}: a FIFO, not a regular file; "
        "copy what it names into a file first\n"
    )
    path.write_text("environment: {objects: [b.stl]}\n")
    opened = os.open

    def as_a_user(x, *args, **options):  # root may read everything
        if x == scan:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(x, *args, **options)

    monkeypatch.setattr("os.open", as_a_user)
    assert cli.main(["validate", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"environment.objects: {scan}: no permission to read it; what it names must be readable\n"
    )


def test_sizes_must_be_above_zero():
    with pytest.raises(AssetError, match="object_scales"):
        make(PickPlaceConfig(object_scales=(1.0, 0.0)))


def test_scans_of_one_name_are_told_apart_by_their_files(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(samples.path("soap"), tmp_path / folder / "thing.ply")
    sources = tuple(str(tmp_path / folder / "thing.ply") for folder in ("a", "b"))
    assert set(names(objects=sources)) == set(sources)


@pytest.fixture
def library(tmp_path) -> Path:
    """A prepared object that was held, one that was not, and a raw scan."""
    for name, held in (("bottle", True), ("can", False)):
        (tmp_path / name).mkdir()
        asset = load_object(f"sample:{name}").replace(name=name, graspable=held)
        write_asset(tmp_path / name / ASSET, asset)
    shutil.copy(samples.path("soap"), tmp_path / "soap.ply")
    return tmp_path


def test_a_library_leaves_out_aloud_what_the_gripper_cannot_hold(library, capfd):
    assert set(names(reconstructed_objects_dir=library)) == {"bottle", "soap"}
    said = capfd.readouterr().err
    assert said.count("skipped") == 1
    assert "can" in said
    assert set(names(reconstructed_objects_dir=library, force=True)) == {"bottle", "can", "soap"}


def test_a_library_that_holds_nothing_to_hold_is_refused(library):
    shutil.rmtree(library / "bottle")
    (library / "soap.ply").unlink()
    with pytest.raises(AssetError, match="this gripper can hold nothing in it"):
        make(PickPlaceConfig(reconstructed_objects_dir=library))


def test_a_refused_scan_is_told_of_in_the_configurations_words(tmp_path):
    box = trimesh.creation.box((8.0, 8.0, 3.0))  # in which unit?
    box.export(tmp_path / "scan.stl")
    with pytest.raises(AssetError, match=r"`environment\.object_units: mm`, `environment\.obj"):
        make(PickPlaceConfig(objects=(tmp_path / "scan.stl",)))
    box.apply_scale(0.02).export(tmp_path / "wide.stl")  # 160 x 160 x 60 mm
    with pytest.raises(AssetError, match=r"`environment\.object_scale`, or `environment\.force`"):
        make(PickPlaceConfig(objects=(tmp_path / "wide.stl",), max_pieces=1))
