"""Files that are not what they claim are refused in one sentence, before anything is believed."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

from r2s_core.errors import AssetError
from r2s_envs_objects import ObjectOptions, load_object
from r2s_envs_objects.scan.load import parse
from r2s_envs_objects.scan.source import MAX_BYTES

NOISE = np.random.default_rng(0).bytes(5000)
TETRAHEDRON = b"v 0 0 0\nv .05 0 0\nv 0 .05 0\nv 0 0 .05\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
PLY = (
    b"ply\nformat ascii 1.0\nelement vertex %s\nproperty float x\nproperty float y\n"
    b"property float z\nelement face %s\nproperty list uchar int vertex_indices\nend_header\n"
)

REFUSED = {
    "noise.stl": (NOISE, "header claims"),
    "noise.obj": (NOISE, "binary bytes"),
    "noise.ply": (NOISE, "no PLY header"),
    "text.stl": (b"this is a letter, not a mesh " * 40, "header claims"),
    "text.obj": (b"this is a letter\nnot a mesh\n", "no vertices"),
    "text.ply": (b"this is a letter\nnot a mesh\n", "no PLY header"),
    "empty.stl": (b"", "empty"),
    "blank.obj": (b"\n\n  \n", "empty"),
    "short.stl": (b"\0" * 50, "not an STL mesh"),
    "lying.stl": (b"\0" * 80 + struct.pack("<I", 2**32 - 1) + b"\0" * 1000, "4294967295"),
    "truncated.stl": (b"\0" * 80 + struct.pack("<I", 10) + b"\0" * 300, "truncated"),
    "cut.stl": (b"solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\n", "endsolid"),
    "points.obj": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", "no faces"),
    "zero.obj": (TETRAHEDRON + b"f 0 1 2\n", "line 9"),
    "beyond.obj": (TETRAHEDRON + b"\n# note\nf 1/1 2/1 5/1\n", "line 11"),
    "negative.obj": (TETRAHEDRON + b"f -1 -2 -5\n", "line 9"),
    "word.obj": (TETRAHEDRON + b"f one two three\n", "line 9"),
    "lying.ply": (PLY % (b"2000000000", b"1") + b"0 0 0\n", "claims 2000000000 x vertex"),
    "huge_faces.ply": (PLY % (b"3", b"4294967295") + b"0 0 0\n" * 9, "x face"),
    "cloud.ply": (PLY % (b"3", b"0") + b"0 0 0\n1 0 0\n0 1 0\n", "point cloud"),
    "index.ply": (PLY % (b"3", b"1") + b"0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", "vertex"),
    "thing.fbx": (NOISE, "an FBX scene, which r2s does not read; import it in Blender"),
    "thing.xyzw": (NOISE, "unsupported file type '.xyzw'; supported are .stl, .obj, .ply"),
    "mug.glb": (b"glTF" + NOISE, "mug.ply, then give `up: y`"),
    "a; b.glb": (b"glTF" + NOISE, "/a; b.glb' '"),
    "phone.usdz": (b"PK\3\4" + NOISE, "a USDZ scene"),
    "page.stl": (b"\n<!DOCTYPE html><html>404</html>", "the download failed"),
    "pointer.ply": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "other.obj": (PLY % (b"3", b"1"), "a PLY file by its content; name it .ply"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_clear_sentence(tmp_path, name):
    content, why = REFUSED[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AssetError) as error:
        load_object(path)
    message = str(error.value)
    assert why in message
    assert message.startswith(str(path))
    assert "\n" not in message


def test_the_command_that_a_refusal_names_converts_whatever_the_file_is_called(tmp_path):
    path = tmp_path / """a'b "$(touch pwned)`touch pwned`; touch pwned.glb"""
    trimesh.creation.box((0.05, 0.05, 0.05)).export(path)
    with pytest.raises(AssetError) as error:
        load_object(path)
    (command,) = re.findall("convert it with (.*), then give", str(error.value))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(command, shell=True, check=True, cwd=tmp_path, env=environment)
    assert sorted(tmp_path.iterdir()) == [path, path.with_suffix(".ply")]
    assert load_object(path.with_suffix(".ply")).size == pytest.approx((0.05,) * 3, abs=1e-3)


def test_a_missing_file_a_folder_and_an_unknown_sample(tmp_path):
    with pytest.raises(AssetError, match="no such file"):
        load_object(tmp_path / "nothing.stl")
    (tmp_path / "folder.stl").mkdir()
    with pytest.raises(AssetError, match=r"folder\.stl"):
        load_object(tmp_path / "folder.stl")
    with pytest.raises(AssetError, match="there are bottle"):
        load_object("sample:cup")


def test_an_oversize_file_is_refused_unread(tmp_path):
    path = tmp_path / "big.stl"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(AssetError, match="limit of 100 MB"):
        load_object(path)


@pytest.mark.parametrize("name", ["a.stl", "a.STL", "a.obj", "a.ply", "ascii.stl", "ascii.ply"])
def test_every_format_gives_the_same_box(tmp_path, box, name):
    path = tmp_path / name
    kind = {"ascii.stl": "stl_ascii"}.get(name, path.suffix[1:].lower())
    options = {"encoding": "ascii"} if name == "ascii.ply" else {}
    box.export(path, file_type=kind, **options)
    asset = load_object(path)
    assert asset.volume == pytest.approx(0.04 * 0.06 * 0.05, rel=1e-5)
    np.testing.assert_allclose(asset.size, [0.04, 0.06, 0.05], atol=1e-6)
    assert asset.name == path.stem


def test_obj_with_quads_negative_indices_and_textures(tmp_path):
    path = tmp_path / "quads.obj"
    corners = "".join(
        f"v {x} {y} {z}\n"
        for z in (0, 0.04)
        for x, y in ((0, 0), (0.04, 0), (0.04, 0.04), (0, 0.04))
    )
    faces = (
        "f 4 3 2 1\nf -4 -3 -2 -1\nf 1/1 2/1 6/1 5/1\nf 2 3 7 6\nf 3//1 4//1 8//1 7//1\nf 4 1 5 8\n"
    )
    path.write_text("mtllib missing.mtl\n" + corners + "vt 0 0\nvn 0 0 1\n" + faces)
    assert load_object(path).volume == pytest.approx(0.04**3, rel=1e-6)


def test_names_in_other_encodings_do_no_harm(tmp_path, box):
    name = "Schüssel für Äpfel".encode("latin-1")
    text = {k: box.export(file_type=k) for k in ("obj", "stl_ascii")}
    files = {
        "a.stl": b"solid " + name + b"\n" + str(text["stl_ascii"]).partition("\n")[2].encode(),
        "b.obj": b"o " + name + b"\n" + str(text["obj"]).encode(),
        "c.ply": ply_bytes(box.vertices, box.faces).replace(
            b"element vertex", b"comment " + name + b"\nelement vertex"
        ),
    }
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
        assert load_object(tmp_path / file).volume == pytest.approx(1.2e-4, rel=1e-5)


def ply_bytes(vertices, faces) -> bytes:
    data = trimesh.Trimesh(vertices, faces, process=False).export(file_type="ply")
    assert isinstance(data, bytes)
    return data


def test_a_few_nan_vertices_are_dropped_and_said(sphere):
    vertices = np.array(sphere.vertices)
    vertices[7] = np.nan
    vertices[99, 1] = np.inf
    kept, faces, findings = parse(ply_bytes(vertices, sphere.faces), ".ply", "s")
    assert np.isfinite(kept[faces]).all()
    assert "2 vertices were NaN" in findings[0].what
    assert findings[0].repaired


def test_many_nan_vertices_are_refused(sphere):
    vertices = np.array(sphere.vertices)
    vertices[:20] = np.nan
    with pytest.raises(AssetError, match="20 of 2562 vertices are NaN"):
        parse(ply_bytes(vertices, sphere.faces), ".ply", "s")


@pytest.mark.parametrize("suffix", ["stl", "obj", "ply"])
def test_mutated_files_are_loaded_or_refused_but_never_crash(tmp_path, suffix, mutations):
    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.03)
    good = ball.export(file_type=suffix)
    good = good.encode() if isinstance(good, str) else good
    options = ObjectOptions(max_pieces=1)
    path = tmp_path / f"mutated.{suffix}"
    refused = []
    for i in range(16):
        path.write_bytes(mutations.mutated(good, np.random.default_rng([1, i]))[0])
        try:
            asset = load_object(path, options)
        except AssetError as error:
            refused.append(str(error))
            continue
        assert np.isfinite(asset.inertia).all()
        assert asset.mass > 0.0
    assert 3 < len(refused) < 16
    assert all("\n" not in message for message in refused)


def test_listing_the_options_imports_nothing_heavy():
    code = (
        "import sys, r2s_envs_objects; r2s_envs_objects.ObjectOptions();"
        "assert not {'numpy', 'trimesh', 'mujoco', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
