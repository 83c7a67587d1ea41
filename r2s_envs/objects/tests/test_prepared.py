"""Prepared objects: what was written comes back, and what was meddled with does not."""

from __future__ import annotations

import json
import os
import zipfile

import numpy as np
import pytest
import trimesh

from r2s_core.errors import AssetError
from r2s_envs_objects import ObjectOptions, load_object
from r2s_envs_objects.commands.doctor import check
from r2s_envs_objects.store import prepared
from r2s_envs_objects.store.arrays import to_arrays
from r2s_envs_objects.store.prepared import objects_in, read_asset, write_asset


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A prepared 40 x 60 x 50 mm box of 0.1 kg."""
    folder = tmp_path_factory.mktemp("made")
    trimesh.creation.box((0.04, 0.06, 0.05)).export(folder / "box.ply")
    options = ObjectOptions(mass=0.1, cache_dir=str(folder / "cache"))
    return load_object(folder / "box.ply", options)


@pytest.fixture
def written(made, tmp_path):
    """The box in a folder of its own, and the asset."""
    folder = tmp_path / "library" / "box"
    folder.mkdir(parents=True)
    write_asset(folder / "asset.npz", made)
    return folder, made


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"mass": 100.0}, "outside 20 to 20000"), ({"volume": 1.0}, "outside 20 to 20000"),
     ({"inertia": 1e-9 * np.eye(3)}, "not that of its mass and size"),
     ({"inertia": np.eye(3)}, "not that of its mass and size")],
)  # fmt: skip
def test_a_mass_that_is_not_of_such_a_thing_is_refused(made, tmp_path, changes, words):
    arrays = to_arrays(made.replace(**changes))
    arrays["digest"] = np.frombuffer(prepared._digest(arrays).encode(), np.uint8)
    np.savez(tmp_path / "asset.npz", **arrays)
    with pytest.raises(AssetError, match=words):
        load_object(tmp_path / "asset.npz")


def test_a_mass_given_to_it_must_be_possible(written):
    folder, _ = written
    assert load_object(folder, ObjectOptions(mass=0.2)).mass == pytest.approx(0.2)
    with pytest.raises(AssetError, match="outside 20 to 20000; check `mass`"):
        load_object(folder, ObjectOptions(mass=30.0))


def test_check_tells_what_a_prepared_object_is(written):
    folder, _ = written
    with pytest.raises(AssetError, match=r"an already prepared object; .*certificate.html"):
        check(str(folder), ObjectOptions())


def test_it_loads_by_its_folder_or_its_file(written):
    folder, asset = written
    for source in (folder, str(folder), folder / "asset.npz"):
        loaded = load_object(source)
        assert loaded.name == asset.name
        assert loaded.content_hash == asset.content_hash
        np.testing.assert_array_equal(loaded.pieces[0], asset.pieces[0])
        assert loaded.mass == 0.1
    assert objects_in(folder.parent) == [folder]


def test_the_file_is_the_same_every_time(written, tmp_path):
    folder, asset = written
    write_asset(tmp_path / "again.npz", asset)
    assert (tmp_path / "again.npz").read_bytes() == (folder / "asset.npz").read_bytes()


def test_mass_scale_friction_and_hulls_can_still_be_changed(written, sphere, save, tmp_path):
    folder, asset = written
    heavy = load_object(folder, ObjectOptions(mass=0.3))
    np.testing.assert_allclose(heavy.inertia, 3.0 * asset.inertia)
    small = load_object(folder, ObjectOptions(scale=0.5))
    np.testing.assert_allclose(small.size, asset.size / 2.0)
    assert small.mass == pytest.approx(asset.mass / 8.0)
    np.testing.assert_allclose(small.inertia, asset.inertia / 32.0)
    assert small.grasp_width == pytest.approx(asset.grasp_width / 2.0)
    assert load_object(folder, ObjectOptions(friction=0.4)).friction == 0.4
    write_asset(tmp_path / "ball.npz", load_object(save(sphere)))
    ball = load_object(tmp_path / "ball.npz", ObjectOptions(max_hull_vertices=16))
    assert len(ball.pieces[0]) <= 16
    assert ball.pieces[0][:, 2].min() == pytest.approx(-ball.resting_qpos.height)


def test_an_object_scaled_beyond_the_gripper_is_refused(written):
    with pytest.raises(AssetError, match="too wide for the 80 mm gripper"):
        load_object(written[0], ObjectOptions(scale=2.0))


@pytest.mark.parametrize("verdict", [False, None])
def test_what_could_not_be_held_is_refused_unless_forced(written, tmp_path, verdict):
    path = tmp_path / "thing.npz"
    write_asset(path, written[1].replace(graspable=verdict))
    if verdict is None:
        assert load_object(path).graspable is None
        return
    with pytest.raises(AssetError, match="gripper could not hold it"):
        load_object(path)
    assert load_object(path, ObjectOptions(force=True)).graspable is False
    write_asset(path, written[1].replace(graspable=False, forced=True))
    assert load_object(path).forced


def test_another_gripper_judges_a_prepared_object_for_itself(written, tmp_path):
    """What the first one found in a trial is not true of the next."""
    path, other = tmp_path / "thing.npz", ObjectOptions(robot="ur5e_2f85")
    write_asset(path, written[1].replace(graspable=False, grasp_width=0.5))
    again = load_object(path, other)
    assert (again.robot, again.graspable) == ("ur5e_2f85", None)
    assert again.grasp_width == pytest.approx(0.04, abs=1e-3)
    assert load_object(path, ObjectOptions(force=True)).graspable is False
    with pytest.raises(AssetError, match="too wide for the 85 mm gripper"):
        load_object(path, ObjectOptions(robot="ur5e_2f85", scale=2.2))


def test_an_edited_file_is_refused(written, tmp_path):
    with np.load(written[0] / "asset.npz") as file:
        arrays = {name: file[name] for name in file.files}
    arrays["inertia"] = arrays["inertia"] * 2.0
    np.savez(tmp_path / "edited.npz", **arrays)
    with pytest.raises(AssetError, match="does not match its hash"):
        load_object(tmp_path / "edited.npz")


def test_an_object_of_impossible_values_is_refused(written, tmp_path):
    nowhere = np.full((8, 3), np.nan)
    for i, change in enumerate(({"pieces": (nowhere,)}, {"mass": 0.0}, {"size": np.ones(2)})):
        write_asset(tmp_path / f"{i}.npz", written[1].replace(**change))
        with pytest.raises(AssetError, match=r"not a sound prepared object \((values|arrays)"):
            read_asset(tmp_path / f"{i}.npz")


def meta(**changes):
    """Arrays with a few entries of `meta` changed."""

    def change(arrays):
        known = json.loads(arrays["meta"].tobytes()) | changes
        return arrays | {"meta": np.frombuffer(json.dumps(known).encode(), np.uint8)}

    return change


def arrays(**changes):
    return lambda known: known | changes


FINDING = {"what": "w", "severity": "info", "repaired": False, "moved": 0.0, "volume_change": 0.0}
CRAFTED = {
    "severity": meta(findings=[FINDING | {"severity": '"><script>alert(1)</script>'}]),
    "finding of numbers": meta(findings=[FINDING | {"what": 3}]),
    "finding with more": meta(findings=[FINDING | {"more": 3}]),
    "no mapping": arrays(meta=np.frombuffer(b"[]", np.uint8)),
    "deep": arrays(meta=np.frombuffer(b"[" * 100_000, np.uint8)),
    "no UTF-8": arrays(meta=np.frombuffer(b"\xff\xfe", np.uint8)),
    "meta of floats": arrays(meta=np.ones(3)),
    "mass as text": meta(mass="1"),
    "mass of nothing": meta(mass=None),
    "infinite mass": meta(mass=float("inf")),
    "huge whole mass": meta(mass=10**400),
    "negative mass": meta(mass=-0.1),
    "range turned over": meta(mass_range=[0.2, 0.1]),
    "range of three": meta(mass_range=[0.1, 0.2, 0.3]),
    "friction": meta(friction=-1.0),
    "no quaternion": meta(resting_qpos=[0.02, [0.0, 0.0, 0.0, 0.0], 1.0]),
    "pose of text": meta(resting_poses=["abc"]),
    "grasp of two": meta(grasps=[[[0, 0], 0.0, 0.0, 0.0]]),
    "graspable maybe": meta(graspable="maybe"),
    "name of a list": meta(name=["a"]),
    "no pieces": lambda known: {k: v for k, v in known.items() if not k.startswith("piece")},
    "flat piece": arrays(piece_000=np.eye(4, 3) * [1.0, 1.0, 0.0]),
    "piece of a line": arrays(piece_000=np.zeros((8, 3))),
    "piece of bytes": arrays(piece_000=np.zeros((8, 3), np.uint8)),
    "many pieces": lambda known: known | {f"piece_{i:03d}": known["piece_000"] for i in range(300)},
    "single precision": lambda known: known | {"size": known["size"].astype(np.float32)},
    "faces of floats": lambda known: known | {"visual_faces": known["visual_faces"] * 1.0},
    "no faces": arrays(visual_faces=np.zeros((0, 3), np.int64)),
    "faces of four": arrays(visual_faces=np.zeros((9, 4), np.int64)),
    "inertia of no solid": arrays(inertia=np.diag([1.0, 1.0, 9.0])),
    "inertia turned": arrays(inertia=np.diag([1.0, 1.0, -1.0])),
    "mirrored": arrays(scan_to_body=np.diag([1.0, 1.0, -1.0, 1.0])),
    "structured": arrays(com=np.zeros(3, [("a", "<f8")])),
}


@pytest.mark.parametrize("what", CRAFTED)
def test_a_crafted_file_is_refused_in_one_sentence(made, tmp_path, what):
    known = CRAFTED[what](to_arrays(made))
    digest = np.frombuffer(prepared._digest(known).encode(), np.uint8)
    np.savez(tmp_path / "crafted.npz", digest=digest, **known)
    with pytest.raises(AssetError, match="not a sound prepared object") as error:
        load_object(tmp_path / "crafted.npz")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400 + len(str(tmp_path))


def test_a_file_that_is_none_is_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo.npz")
    (tmp_path / "folder.npz").mkdir()
    for name in ("fifo.npz", "folder.npz"):
        with pytest.raises(AssetError, match=r"not a regular file|a folder"):
            load_object(tmp_path / name)


def test_pickles_bombs_and_rubbish_are_refused_in_one_sentence(tmp_path):
    evil = np.empty(1, object)
    evil[0] = print
    np.savez(tmp_path / "pickle.npz", meta=evil, digest=evil, allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(6):
            archive.writestr(f"{i}.npy", bytes(100 * 2**20))
    (tmp_path / "rubbish.npz").write_bytes(b"rubbish" * 100)
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("pickle", "bomb", "rubbish", "empty"):
        with pytest.raises(AssetError, match="prepare it again with `r2s object fix`") as error:
            read_asset(tmp_path / f"{name}.npz")
        assert "\n" not in str(error.value)
    with pytest.raises(AssetError, match="no such file"):
        load_object(tmp_path / "nothing.npz")
