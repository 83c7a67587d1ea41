"""The cache makes the second load quick, and is never a reason to fail."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from r2s_core.rendering import render
from r2s_envs_objects import Finding, ObjectOptions, load_object
from r2s_envs_objects.behaviour.grasp import gripper_of
from r2s_envs_objects.guard import sandbox
from r2s_envs_objects.preparation import pipeline
from r2s_envs_objects.store import cache
from r2s_envs_objects.store.arrays import to_arrays

pytestmark = pytest.mark.usefixtures("own_cache")


def same(a, b):
    for field in dataclasses.fields(a):
        if field.name != "findings":
            x, y = getattr(a, field.name), getattr(b, field.name)
            if field.name == "pieces":
                assert all(np.array_equal(p, q) for p, q in zip(x, y, strict=True))
            else:
                assert np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y
    return True


@pytest.fixture
def entry(tmp_path):
    """The one file in the cache."""

    def find() -> Path:
        (path,) = (tmp_path / "cache" / "objects").iterdir()
        return path

    return find


def test_the_second_load_is_the_same_and_quick(ell, save, monkeypatch):
    path = save(ell)
    first = load_object(path)
    monkeypatch.setattr(sandbox, "call", None)  # must not be called again
    start = time.perf_counter()
    second = load_object(path)
    assert time.perf_counter() - start < 0.2
    assert same(first, second)
    assert first.findings == second.findings


def test_what_a_busy_machine_had_no_time_for_is_tried_again(ell, save, monkeypatch, tmp_path):
    path, made = save(ell), []
    found = Finding("the convex decomposition timed out", "warning", code="pieces-failed")

    def short_of_time(target, data, arguments, label):
        made.append(label)
        hand = gripper_of("panda")
        arguments = {**arguments, "options": ObjectOptions(max_pieces=1), "gripper": hand}
        asset = pipeline.prepare(data, **arguments)
        return to_arrays(asset.replace(findings=(*asset.findings, found)))

    monkeypatch.setattr(sandbox, "call", short_of_time)
    for _ in range(2):
        assert found in load_object(path).findings
    assert len(made) == 2
    assert not (tmp_path / "cache").exists()


def test_the_pipeline_is_deterministic(ell, save, tmp_path):
    path = save(ell)
    first = load_object(path, ObjectOptions(cache_dir=str(tmp_path / "one")))
    second = load_object(path, ObjectOptions(cache_dir=str(tmp_path / "two")))
    assert same(first, second)


def test_the_key_follows_content_and_options_but_not_the_name(box, save):
    first = load_object(save(box, "a.ply"))
    renamed = load_object(save(box, "b.ply"))
    assert first.content_hash == renamed.content_hash
    assert renamed.name == "b"
    assert (
        load_object(save(box, "a.ply"), ObjectOptions(mass=0.1)).content_hash != first.content_hash
    )
    box.apply_scale(1.1)
    assert load_object(save(box, "a.ply")).content_hash != first.content_hash


@pytest.mark.parametrize("damage", ["empty", "garbage", "flip", "truncate", "other"])
def test_a_damaged_entry_is_made_again(box, save, entry, damage):
    path = save(box)
    first = load_object(path)
    data = bytearray(entry().read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 0xFF
    content = {
        "empty": b"",
        "garbage": b"not an archive" * 50,
        "flip": bytes(data),
        "truncate": bytes(data[: len(data) // 2]),
    }
    if damage == "other":
        np.savez(entry(), meta=np.zeros(3, np.uint8))
    else:
        entry().write_bytes(content[damage])
    assert same(first, load_object(path))
    assert cache.read(entry().parents[1], first.content_hash) is not None  # and is sound again


def test_an_unusable_cache_folder_is_a_finding_not_an_error(box, save, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder should be")
    asset = load_object(save(box), ObjectOptions(cache_dir=str(blocked / "sub")))
    assert any("not cached in" in f.what for f in asset.findings)


def test_a_full_disk_leaves_no_partial_file(box, save, tmp_path, monkeypatch):
    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    asset = load_object(save(box))
    assert any("No space left on device" in f.what for f in asset.findings)
    assert list((tmp_path / "cache" / "objects").iterdir()) == []


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.delenv("R2S_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder_of(ObjectOptions()) == tmp_path / "xdg" / "r2s"
    monkeypatch.setenv("R2S_CACHE_DIR", str(tmp_path / "own"))
    assert cache.folder_of(ObjectOptions()) == tmp_path / "own"
    assert cache.folder_of(ObjectOptions(cache_dir=str(tmp_path))) == tmp_path


@pytest.mark.parametrize("chosen", [None, "~", "~nosuchuser/x"])
def test_without_a_home_there_is_no_cache_and_one_note(monkeypatch, chosen):
    """As in a container that runs under a user id which /etc/passwd does not know."""
    monkeypatch.delenv("R2S_CACHE_DIR")
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    if chosen:
        monkeypatch.setenv("R2S_CACHE_DIR", chosen)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}["no such user"])
    assert cache.folder_of(ObjectOptions()) is None
    assert cache.read(None, "key") is None
    assert "no home folder" in str(cache.write(None, cast(Any, None)))
    assert render._cached_interface() is None
    render._cache_interface("egl")
