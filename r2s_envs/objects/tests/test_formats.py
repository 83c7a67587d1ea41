"""One object in every spelling of every format, and what programs write that differs from it."""

from __future__ import annotations

import itertools
import struct

import numpy as np
import pytest
import trimesh

from r2s_core.errors import AssetError
from r2s_envs_objects.formats.text import BadNumberError, normalised, numbers
from r2s_envs_objects.mesh.inertia import volume_integrals
from r2s_envs_objects.mesh.repair import close_surface
from r2s_envs_objects.scan.load import parse

#: A bottle of quads and fans: not so regular that a permuted vertex would go unnoticed.
BOTTLE = trimesh.creation.revolve(
    np.array([[0, 0], [30, 0], [30, 90], [12, 120], [12, 150], [0, 150]]) * 1e-3, sections=12
)
VOLUME = BOTTLE.volume


def closed_volume(data: bytes, suffix: str) -> float:
    """m3 of the one closed surface that the content describes, nothing of it repaired."""
    vertices, faces, _ = parse(data, suffix, "scan")
    vertices, faces, findings = close_surface(vertices, faces, "scan")
    assert not findings
    return volume_integrals(vertices, faces)[0]


def obj(mesh: trimesh.Trimesh = BOTTLE) -> bytes:
    v = "".join(f"v {x:.7f} {y:.7f} {z:.7f}\n" for x, y, z in mesh.vertices)
    return (v + "".join(f"f {a} {b} {c}\n" for a, b, c in mesh.faces + 1)).encode()


def interleaved() -> bytes:
    """Each vertex just before the first face that needs it, counted back."""
    text, seen = "", {}
    for face in BOTTLE.faces.tolist():
        for vertex in face:
            if vertex not in seen:
                seen[vertex] = len(seen)
                text += "v {} {} {}\n".format(*BOTTLE.vertices[vertex])
        text += "f " + " ".join(f"{seen[vertex] - len(seen)}" for vertex in face) + "\n"
    return text.encode()


def textured() -> bytes:
    mapped = "".join(f"vt {i / 9:.3f} 0\nvn 0 0 1\n" for i in range(len(BOTTLE.vertices)))
    return mapped.encode() + obj().replace(b" 1 ", b" 1/7/1 ").replace(b" 5\n", b" 5//3\n")


OBJ = {
    "as it is": obj(),
    "CR": obj().replace(b"\n", b"\r"),
    "CR LF": obj().replace(b"\n", b"\r\n"),
    "tabs": obj().replace(b" ", b"\t"),
    "indented, spaces at the ends": obj().replace(b"\n", b"  \n \t "),
    "byte order mark": b"\xef\xbb\xbf" + obj(),
    "UTF-16": obj().decode().encode("utf-16"),
    "capitals": obj().upper(),
    "continued lines": obj().replace(b"f ", b"f \\\n  "),
    "continued lines, CR LF": obj().replace(b"f ", b"f \\\n").replace(b"\n", b"\r\n"),
    "comments behind": obj().replace(b"\n", b" # v 1 2 3\n"),
    "groups and materials": b"mtllib a.mtl\no B\n"
    + obj().replace(b"f ", b"g x\nusemtl y\ns 1\nf "),
    "texture and normals": textured(),
    "weights": obj().replace(b"\nv", b" 1.0\nv"),
    "counted back": interleaved(),
    "faces first": b"f" + obj().partition(b"f")[2] + obj().partition(b"f")[0],
    "no last line end": obj().rstrip(),
    "zeros at the end": obj() + b"\0" * 512,
}


@pytest.mark.parametrize("spelling", OBJ)
def test_obj_spellings(spelling):
    assert closed_volume(OBJ[spelling], ".obj") == pytest.approx(VOLUME, rel=1e-4)


def test_obj_counts_back_from_the_face_and_not_from_the_end():
    small = trimesh.creation.box((0.01, 0.01, 0.01)).apply_translation((0.2, 0, 0))
    blocks = b""
    for mesh in (small, BOTTLE):
        faces = mesh.faces - len(mesh.vertices)
        blocks += obj(mesh).partition(b"f")[0]
        blocks += "".join("f {} {} {}\n".format(*face) for face in faces).encode()
    _, faces, _ = parse(blocks, ".obj", "scan")
    np.testing.assert_array_equal(faces[: len(small.faces)], small.faces)
    np.testing.assert_array_equal(faces[len(small.faces) :], BOTTLE.faces + len(small.vertices))


def test_obj_names_the_line_that_lies_also_behind_continued_ones():
    text = b"v 0 0 0\nv 1 \\\n 0 0\nv 0 1 0\n# note\nf -1 -2 -3\nf 1 2 4\nv 9 9 9\n"
    assert len(parse(text, ".obj", "scan")[1]) == 2  # the fourth vertex may come later
    with pytest.raises(AssetError, match="line 7: face index '4' is out of range"):
        parse(text.replace(b"v 9 9 9\n", b""), ".obj", "scan")
    with pytest.raises(AssetError, match="line 6: face index '-4'"):
        parse(text.replace(b"-3", b"-4"), ".obj", "scan")
    with pytest.raises(AssetError, match="line 4: '0,5' is not a number"):
        parse(text.replace(b"v 0 1 0", b"v 0,5 1 0"), ".obj", "scan")


def test_concave_polygons_are_not_folded_over():
    ell = np.array([[0, 0], [8, 0], [8, 2], [2, 2], [2, 8], [0, 8]])
    for first in range(6):
        order = np.roll(np.arange(6), first) + 1
        text = "".join(f"v {x} {y} 0\n" for x, y in ell) + "f " + " ".join(map(str, order))
        vertices, faces, _ = parse(text.encode(), ".obj", "scan")
        a, b, c = np.moveaxis(vertices[faces], 1, 0)
        normals = np.cross(b - a, c - a)[:, 2] / 2.0
        assert (normals >= 0.0).all()
        assert normals.sum() == pytest.approx(28.0)


def stl() -> bytes:
    data = BOTTLE.export(file_type="stl")
    assert isinstance(data, bytes)
    return data


def stl_text(mesh: trimesh.Trimesh = BOTTLE) -> bytes:
    return b"solid bottle\n" + str(mesh.export(file_type="stl_ascii")).partition("\n")[2].encode()


COUNT = len(BOTTLE.faces)


def counted(count: int) -> bytes:
    return stl()[:80] + struct.pack("<I", count) + stl()[84:]


STL = {
    "as it is": stl(),
    "begins with solid": b"solid facet vertex".ljust(80) + stl()[80:],
    "newline behind": stl() + b"\n",
    "zeros behind": stl() + b"\0" * 512,
    "ones behind": stl() + b"\xff" * 512,
    "words behind": stl() + b"written by a program that likes to say so " * 20,
    "count zero": counted(0),
    "count unknown": counted(2**32 - 1),
    "count too small": counted(COUNT - 10),
    "count one": counted(1),
    "count zero, solid, newline behind": b"solid x".ljust(80) + counted(0)[80:] + b"\n",
    "last attributes missing": stl()[:-2],
    "text": stl_text(),
    "text, CR": stl_text().replace(b"\n", b"\r"),
    "text, CR LF": stl_text().replace(b"\n", b"\r\n"),
    "text, capitals": stl_text().upper(),
    "text, Capitals": stl_text().title(),
    "text, byte order mark": b"\xef\xbb\xbf" + stl_text(),
    "text, UTF-16": stl_text().decode().encode("utf-16"),
    "text, empty lines first": b"\r\n \n" + stl_text(),
    "text, long name": stl_text().replace(b"bottle", b"a facet of vertex 1 2 3 " * 200),
    "text, no name": stl_text().replace(b"solid bottle", b"solid"),
    "text, tabs": stl_text().replace(b" ", b"\t"),
    "text, all in one line": stl_text().replace(b"\n", b" "),
    "text, words behind": stl_text() + b"\nwritten by a program\n" * 100,
    "text, zeros behind": stl_text() + b"\0" * 100,
}  # fmt: skip


@pytest.mark.parametrize("spelling", STL)
def test_stl_spellings(spelling):
    vertices, faces, _ = parse(STL[spelling], ".stl", "scan")
    assert len(faces) == COUNT
    vertices, faces, _ = close_surface(vertices, faces, "scan")
    assert volume_integrals(vertices, faces)[0] == pytest.approx(VOLUME, rel=1e-4)


def test_what_was_odd_about_an_stl_is_said():
    assert parse(stl(), ".stl", "s")[2] == []
    assert "512 bytes after the last face" in parse(STL["zeros behind"], ".stl", "s")[2][0].what
    assert f"the file holds {COUNT}" in parse(STL["count zero"], ".stl", "s")[2][0].what


STL_REFUSED = {
    "cut": (stl()[:-60], "truncated"),
    "cut by three bytes": (stl()[:-3], "truncated"),
    "50 zeros": (b"\0" * 50, "not an STL mesh"),
    "a head without faces": (b"\0" * 84, "room for 0"),
    "zeros only": (b"\0" * 5000, "room for 98"),
    "noise, count zero": (counted(0)[:84] + np.random.default_rng(0).bytes(9000), "room for 180"),
    "text, cut": (stl_text()[:-300], "ends before"),
    "text, cut in the second solid": (stl_text() + stl_text()[:-300], "ends before"),
    "text, a word": (stl_text().replace(b"vertex 0", b"vertex O", 1), "is not a number"),
    "text, two numbers": (
        stl_text().replace(b"vertex ", b"vertex 1 2 3\nvertex 1 ", 1),
        "three numbers",
    ),
    "text, two corners": (b"solid\nfacet\nvertex 0 0 0\nvertex 1 0 0\nendsolid", "line 2: a facet"),
    "text, zeros within": (stl_text().replace(b"facet", b"\0acet", 1), "binary bytes"),
}


@pytest.mark.parametrize("name", STL_REFUSED)
def test_stl_that_is_damaged(name):
    data, why = STL_REFUSED[name]
    with pytest.raises(AssetError, match=why):
        parse(data, ".stl", "scan")


def polygons() -> list[list[int]]:
    """The bottle's faces, some of them joined to quads where they are flat."""
    faces, quads = BOTTLE.faces.tolist(), []
    for i, j in BOTTLE.face_adjacency[BOTTLE.face_adjacency_angles < 1e-6]:
        a, b = faces[i], faces[j]
        if a and b and len(quads) < 20:
            (apex,), (far,) = set(a) - set(b), set(b) - set(a)
            k = a.index(apex)
            quads.append([apex, a[(k + 1) % 3], far, a[(k + 2) % 3]])
            faces[i] = faces[j] = []
    single = [face for face in faces if face]
    assert len(quads) == 20
    return [*single[:5], *quads, *single[5:]]


def ply(form: str, order: str = "vf", wide: str = "uchar int", uneven: bool = True) -> bytes:
    """A PLY of the bottle with more properties and elements than it needs."""
    faces = polygons() if uneven else BOTTLE.faces.tolist()
    count, item = wide.split()
    heads = {
        "v": f"element vertex {len(BOTTLE.vertices)}\nproperty uchar red\nproperty double x\n"
        "property float y\nproperty list uchar short seen\nproperty float z\n",
        "f": f"element face {len(faces)}\nproperty uchar flags\nproperty list {wide} vertex_index\n"
        "property float quality\n",
        "x": "element camera 2\nproperty list ushort float pose\nproperty int id\n",
    }
    head = f"ply\nformat {form} 1.0\ncomment end_header is not here\nobj_info x\n"
    head += "".join(heads[name] for name in order) + "end_header\n"
    rows: list[list[tuple[str, float]]] = []
    for name in order:
        if name == "v":
            for i, (x, y, z) in enumerate(BOTTLE.vertices.tolist()):
                seen = [("uchar", i % 3), *[("short", -1)] * (i % 3)]
                rows.append([("uchar", 255), ("double", x), ("float", y), *seen, ("float", z)])
        elif name == "f":
            for face in faces:
                corners = [(item, vertex) for vertex in face]
                rows.append([("uchar", 1), (count, len(face)), *corners, ("float", 0.5)])
        else:
            rows.append([("ushort", 2), ("float", 1), ("float", 2), ("int", 7)])
            rows.append([("ushort", 0), ("int", 8)])
    if form == "ascii":
        body = "".join(" ".join(str(value) for _, value in row) + "\n" for row in rows).encode()
        return head.encode() + body
    sign = "<" if form == "binary_little_endian" else ">"
    codes = {"char": "b", "uchar": "B", "short": "h", "ushort": "H", "int": "i", "uint": "I",
             "float": "f", "double": "d"}  # fmt: skip
    return head.encode() + b"".join(
        struct.pack(sign + codes[kind], value) for row in rows for kind, value in row
    )


FORMS = ("ascii", "binary_little_endian", "binary_big_endian")
WIDE = ("uchar int", "char uint", "ushort short", "int ushort", "uint uint", "int float")


@pytest.mark.parametrize("uneven", [True, False])
@pytest.mark.parametrize("order", ["vf", "fv", "xvf", "vxf", "fxv"])
@pytest.mark.parametrize("form", FORMS)
def test_ply_elements_in_any_order_and_faces_of_any_size(form, order, uneven):
    vertices, faces, findings = parse(ply(form, order, uneven=uneven), ".ply", "scan")
    assert len(faces) == COUNT
    assert volume_integrals(vertices, faces)[0] == pytest.approx(VOLUME, rel=1e-5)
    assert [finding.code for finding in findings] == ["colours"]


@pytest.mark.parametrize("wide", WIDE)
@pytest.mark.parametrize("form", FORMS)
def test_ply_lists_of_every_width(form, wide):
    vertices, faces, _ = parse(ply(form, wide=wide), ".ply", "scan")
    assert volume_integrals(vertices, faces)[0] == pytest.approx(VOLUME, rel=1e-5)


@pytest.mark.parametrize("end", [b"\r", b"\r\n"])
@pytest.mark.parametrize("form", FORMS)
def test_ply_line_ends_of_the_header(form, end):
    head, mark, body = ply(form).partition(b"end_header\n")
    body = body.replace(b"\n", end) if form == "ascii" else b"\n" + body[1:]  # a LF that is data
    data = (head + mark).replace(b"\n", end) + body
    vertices, faces, _ = parse(data, ".ply", "scan")
    assert volume_integrals(vertices, faces)[0] == pytest.approx(VOLUME, rel=1e-5)


def strips_ply(kind: str, split: bool) -> bytes:
    """A box as triangle strips, one around and two caps: in one list with -1 between, or split."""
    corners = np.array(list(itertools.product((0, 1), repeat=3))) - 0.5
    around = [0, 4, 1, 5, 3, 7, 2, 6, 0, 4]
    lists = [around, [1, 3, 0, 2], [5, 4, 7, 6]]
    if not split:
        lists = [[*lists[0], -1, *lists[1], -1, *lists[2]]]
    body = (corners * [0.04, 0.06, 0.05]).astype("<f4").tobytes()
    code = {"int": "i", "uint": "I"}[kind]
    for one in lists:
        one = [index % 2**32 if kind == "uint" else index for index in one]
        body += struct.pack(f"<i{len(one)}{code}", len(one), *one)
    head = (
        "ply\nformat binary_little_endian 1.0\nelement vertex 8\nproperty float x\n"
        f"property float y\nproperty float z\nelement tristrips {len(lists)}\n"
        f"property list int {kind} vertex_indices\nend_header\n"
    )
    return head.encode() + body


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("kind", ["int", "uint"])
def test_ply_triangle_strips(kind, split):
    vertices, faces, _ = parse(strips_ply(kind, split), ".ply", "scan")
    assert len(faces) == 12
    assert abs(volume_integrals(vertices, faces)[0]) == pytest.approx(0.04 * 0.06 * 0.05, rel=1e-6)


def ply_faces(count: int, rest: bytes) -> bytes:
    return (
        b"ply\nformat binary_little_endian 1.0\nelement vertex 3\nproperty float x\n"
        b"property float y\nproperty float z\nelement face %d\n"
        b"property list int int vertex_indices\nend_header\n" % count
    ) + np.eye(3, dtype="<f4").tobytes() + rest  # fmt: skip


PLY_REFUSED = {
    "a list of two billion": (ply_faces(1, struct.pack("<iiii", 2**31 - 1, 0, 1, 2)), "truncated"),
    "a list of minus one": (ply_faces(1, struct.pack("<iiii", -1, 0, 1, 2)), "truncated"),
    "cut in the second list": (ply_faces(2, struct.pack("<iiiii", 3, 0, 1, 2, 3)), "truncated"),
    "an index beyond": (ply_faces(1, struct.pack("<iiii", 3, 0, 1, 3)), "face 0 names a vertex"),
    "an index below": (ply_faces(1, struct.pack("<iiii", 3, 0, 1, -1)), "face 0 names a vertex"),
    "faces of two": (ply_faces(1, struct.pack("<iii", 2, 0, 1)), "holds no faces"),
    "a type nobody knows": (ply("ascii").replace(b"double", b"quad"), "damaged"),
    "NaN as a count": (ply("ascii").replace(b"\n1 3 ", b"\n1 nan "), "truncated"),
    "words": (ply("ascii").replace(b"255 ", b"red "), "'red' is not a number"),
    "no x": (ply("ascii").replace(b"double x", b"double w"), "no x y z"),
}


@pytest.mark.parametrize("name", PLY_REFUSED)
def test_ply_that_is_damaged(name):
    data, why = PLY_REFUSED[name]
    with pytest.raises(AssetError, match=why):
        parse(data, ".ply", "scan")


def test_numbers_that_are_none():
    odd = b"1 nan -nan(ind) 1.#QNAN -1.#IND00 1.#INF -inf Infinity 1_0"
    values = numbers(normalised(odd))
    np.testing.assert_array_equal(values, [1, *[np.nan] * 4, np.inf, -np.inf, np.inf, 10])
    assert len(numbers(b" \n ")) == 0
    with pytest.raises(BadNumberError, match="'x'") as error:
        numbers(b"1 2\n3 x")
    assert error.value.line == 1
