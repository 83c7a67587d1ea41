"""Checkpoints give back every bit, survive damage and a full disk, and name what does not fit."""

import errno
import json
import os
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_core.record.checkpoint import (
    CheckpointError,
    DamagedCheckpoint,
    checkpoints,
    load,
    load_latest,
    save,
)


def learner(seed=0, width=5):
    rng = np.random.default_rng(seed)
    return {
        "network": {
            "kernel": jnp.asarray(rng.normal(size=(3, width)), jnp.float32),
            "half": jnp.asarray(rng.normal(size=(2, 4)), jnp.bfloat16),
        },
        "count": jnp.asarray(7 + seed, jnp.int32),
        "key": jax.random.key(seed),
        "keys": jax.random.split(jax.random.key(seed, impl="rbg"), 3),
        "old_key": jax.random.PRNGKey(seed),
        "physics": rng.normal(size=(4, 6)) * 1e-300,
        "empty": np.zeros((0, 3), np.float32),
        "mask": np.asarray([True, False]),
        "time": np.float64(0.1) + np.float64(0.2),
        "updates": 12,
    }


def assert_same_bits(a, b):
    flat_a, tree_a = jax.tree_util.tree_flatten(a)
    flat_b, tree_b = jax.tree_util.tree_flatten(b)
    assert tree_a == tree_b
    for x, y in zip(flat_a, flat_b, strict=True):
        assert isinstance(x, jax.Array) == isinstance(y, jax.Array)
        if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            assert x.dtype == y.dtype
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        x, y = np.asarray(x), np.asarray(y)
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        assert x.tobytes() == y.tobytes()


def test_every_bit_kind_and_dtype_comes_back(tmp_path):
    original = learner(seed=3)
    path = save(tmp_path, original, {"wall_s": 1.5, "note": "é"}, step=8192)
    back, meta = load(path, learner(seed=0))
    assert_same_bits(original, back)
    assert meta == {"wall_s": 1.5, "note": "é"}
    assert isinstance(back["updates"], int)
    # A restored key draws the same numbers.
    a, b = jax.random.normal(original["key"], (4,)), jax.random.normal(back["key"], (4,))
    np.testing.assert_array_equal(a, b)


def test_keeps_the_last_two_and_loads_the_newest(tmp_path):
    for step in (100, 200, 1000, 30):
        save(tmp_path, learner(seed=step), {"step": step}, step=step)
        if step == 1000:
            assert [p.name for p in checkpoints(tmp_path)] == [
                "step-000000000000200.ckpt",
                "step-000000000001000.ckpt",
            ]
    loaded = load_latest(tmp_path, learner())
    assert loaded is not None
    assert loaded.meta == {"step": 1000}
    assert loaded.skipped == ()


def test_no_checkpoint_is_none(tmp_path):
    assert load_latest(tmp_path / "nowhere", learner()) is None


def damage_truncate(data):
    return data[: len(data) // 2]


def damage_flip(data):
    middle = data.find(b"\x93NUMPY") + 130  # inside the first leaf's numbers
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def damage_empty(data):
    return b""


@pytest.mark.parametrize("damage", [damage_truncate, damage_flip, damage_empty])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, damage):
    save(tmp_path, learner(seed=1), {"step": 1}, step=1)
    newest = save(tmp_path, learner(seed=2), {"step": 2}, step=2)
    newest.write_bytes(damage(newest.read_bytes()))

    loaded = load_latest(tmp_path, learner())

    assert loaded is not None
    assert loaded.meta == {"step": 1}
    assert_same_bits(loaded.learner, learner(seed=1))
    assert len(loaded.skipped) == 1
    assert newest.name in loaded.skipped[0]
    assert "damaged" in loaded.skipped[0]


def test_only_damaged_checkpoints_is_an_error(tmp_path):
    path = save(tmp_path, learner(), {}, step=1)
    path.write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="without --resume"):
        load_latest(tmp_path, learner())


def test_another_shape_or_dtype_names_the_leaf_and_is_not_skipped(tmp_path):
    save(tmp_path, learner(), {}, step=1)
    with pytest.raises(CheckpointError, match=r"'kernel'.*shape \[3, 5\].*needs \[3, 9\]"):
        load_latest(tmp_path, learner(width=9))
    other = learner() | {"count": jnp.asarray(1.0, jnp.float32)}
    with pytest.raises(CheckpointError, match=r"'count'.*int32.*float32"):
        load_latest(tmp_path, other)


def test_another_structure_names_what_is_missing(tmp_path):
    path = save(tmp_path, learner(), {}, step=1)
    with pytest.raises(CheckpointError, match=r"lacks \['replay'\]"):
        load(path, learner() | {"replay": jnp.zeros(3)})


def test_a_pickled_leaf_is_never_loaded(tmp_path):
    path = save(tmp_path, {"a": np.zeros(3)}, {}, step=1)
    evil = tmp_path / "step-000000000000002.ckpt"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(evil, "w") as target:
        target.writestr("checkpoint.json", source.read("checkpoint.json"))
        with target.open("0.npy", "w") as member:
            np.lib.format.write_array(member, np.asarray([print], dtype=object))
    with pytest.raises(CheckpointError, match="damaged"):
        load(evil, {"a": np.zeros(3)})


def rewritten(path, index=None, compression=zipfile.ZIP_STORED):
    """The checkpoint with another index, sound as a zip file."""
    with zipfile.ZipFile(path) as source:
        members = {name: source.read(name) for name in source.namelist()}
    if index is not None:
        members["checkpoint.json"] = json.dumps(index).encode()
    with zipfile.ZipFile(path, "w", compression) as target:
        for name, data in members.items():
            target.writestr(name, data)


def small():
    return {"a": jnp.zeros((2, 3)), "key": jax.random.key(0), "n": 3}


def places(tree, path=()):
    """Every key of a JSON tree, as a path."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def test_every_confusion_of_types_in_the_index_ends_in_one_sentence(tmp_path):
    path = save(tmp_path, small(), {"step": 1}, step=1)
    with zipfile.ZipFile(path) as archive:
        whole, index = path.read_bytes(), json.loads(archive.read("checkpoint.json"))
    kinds = ("key", "jax", "numpy", "python")
    accepted = set()
    for place in places(index):
        for value in (None, True, "3", 3, -1, 1.5, [], [2, 3], [-1], {}, {"a": 1}, 2**70, *kinds):
            changed = json.loads(json.dumps(index))
            parent = changed
            for key in place[:-1]:
                parent = parent[key]
            if json.dumps(parent[place[-1]]) == json.dumps(value):
                continue
            parent[place[-1]] = value
            path.write_bytes(whole)
            rewritten(path, changed)
            if refusal(path) is None:
                accepted.add(str(place[-1]))
    # The meta is checked by who saved it; whether an array is NumPy's or JAX's is left open.
    assert accepted == {"step", "meta", "kind"}


def refusal(path):
    try:
        load(path, small())
    except CheckpointError as error:
        message = str(error)
    else:
        return None
    assert str(path) in message
    assert "\n" not in message
    return message


def test_a_member_that_is_compressed_is_never_unpacked(tmp_path):
    """A zip file may pack gigabytes of zeros into kilobytes."""
    path = save(tmp_path, small(), {}, step=1)
    rewritten(path, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(DamagedCheckpoint, match="compressed or too large"):
        load(path, small())


def test_a_leaf_of_another_size_than_its_index_says_is_not_allocated(tmp_path):
    path = save(tmp_path, {"a": np.zeros(3)}, {}, step=1)
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**13,)}
    with zipfile.ZipFile(path) as source:
        index = source.read("checkpoint.json")
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("checkpoint.json", index)
        with target.open("0.npy", "w") as member:
            np.lib.format.write_array_header_1_0(member, header)
    with pytest.raises(DamagedCheckpoint, match="does not have the size of its leaf"):
        load(path, {"a": np.zeros(3)})


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (MemoryError(), "not enough memory to load"),
        (OSError(errno.EACCES, "Permission denied"), "cannot be read: Permission denied"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "cannot be read: Cannot allocate"),
    ],
)
def test_what_is_not_the_files_fault_takes_no_older_one(tmp_path, monkeypatch, failure, message):
    save(tmp_path, learner(seed=1), {"step": 1}, step=1)
    save(tmp_path, learner(seed=2), {"step": 2}, step=2)

    def fail(*arguments, **more):
        raise failure

    monkeypatch.setattr(np.lib.format, "read_array", fail)
    with pytest.raises(CheckpointError, match=message) as error:
        load_latest(tmp_path, learner())
    assert not isinstance(error.value, DamagedCheckpoint)


def test_a_sector_that_cannot_be_read_is_damage(tmp_path, monkeypatch):
    save(tmp_path, learner(seed=1), {"step": 1}, step=1)
    save(tmp_path, learner(seed=2), {"step": 2}, step=2)
    read, failures = np.lib.format.read_array, [OSError(errno.EIO, "Input/output error")]

    def once(*arguments, **more):
        if failures:
            raise failures.pop()
        return read(*arguments, **more)

    monkeypatch.setattr(np.lib.format, "read_array", once)
    loaded = load_latest(tmp_path, learner())
    assert loaded is not None
    assert loaded.meta == {"step": 1}


def test_what_killed_writers_left_goes_when_the_next_one_saves(tmp_path):
    for name in (".writing-4711.ckpt", ".writing-0123456789abcdef"):
        (tmp_path / name).write_bytes(b"half")
    path = save(tmp_path, small(), {}, step=1)
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path, monkeypatch):
    good = save(tmp_path, learner(seed=1), {"step": 1}, step=1)
    write_array = np.lib.format.write_array

    def full(file, array, **kwargs):
        if array.size > 10:
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_array(file, array, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "write_array", full)
        with pytest.raises(CheckpointError, match=r"No space left.*intact.*--resume"):
            save(tmp_path, learner(seed=2), {"step": 2}, step=2)

    assert os.listdir(tmp_path) == [good.name]
    loaded = load_latest(tmp_path, learner())
    assert loaded is not None
    assert loaded.meta == {"step": 1}


def test_the_old_one_stays_until_the_new_one_is_durable(tmp_path, monkeypatch):
    save(tmp_path, learner(seed=1), {"step": 1}, step=1)

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, learner(seed=2), {"step": 2}, step=2, keep=1)
    loaded = load_latest(tmp_path, learner())
    assert loaded is not None
    assert loaded.meta == {"step": 1}


def test_a_leaf_that_is_no_array_is_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match=r"\['name'\] is a str"):
        save(tmp_path, {"name": "x"}, {}, step=1)
