"""Point cloud files: encodings agree on the points, and lies are refused in one sentence."""

from __future__ import annotations

import struct
import time

import numpy as np
import pytest

from r2s_core.errors import AssetError
from r2s_envs_objects.reconstruct import las, lzf, pcd, ply, xyz
from r2s_envs_objects.reconstruct.source import parsed, read
from r2s_envs_objects.scan.source import read_bytes

POINTS = np.random.default_rng(0).normal(0.0, 0.05, (300, 3)).astype(np.float32)
NORMALS = (POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)).astype(np.float32)


def pcd_header(encoding: str, points: int = 300, **changes: str) -> bytes:
    lines = {
        "VERSION": "0.7",
        "FIELDS": "x y z normal_x normal_y normal_z rgb",
        "SIZE": "4 4 4 4 4 4 4",
        "TYPE": "F F F F F F U",
        "COUNT": "1 1 1 1 1 1 1",
        "WIDTH": str(points),
        "HEIGHT": "1",
        "VIEWPOINT": "0 0 1 1 0 0 0",
        "POINTS": str(points),
        "DATA": encoding,
    } | changes
    text = "".join(f"{key} {value}\n" for key, value in lines.items() if value)
    return b"# .PCD v0.7\n" + text.encode()


def rows() -> np.ndarray:
    table = np.zeros(300, [("v", "<f4", 6), ("rgb", "<u4")])
    table["v"], table["rgb"] = np.concatenate([POINTS, NORMALS], axis=1), 0xFF00FF
    return table


def compressed(raw: bytes) -> bytes:
    """LZF of literal runs, with one back reference where bytes repeat at the end."""
    body = bytearray()
    for start in range(0, len(raw), 32):
        run = raw[start : start + 32]
        body += bytes([len(run) - 1]) + run
    return struct.pack("<II", len(body), len(raw)) + bytes(body)


def pcd_bytes(encoding: str) -> bytes:
    if encoding == "ascii":
        lines = (" ".join(map(str, [*row["v"].tolist(), row["rgb"]])) for row in rows())
        return pcd_header("ascii") + "\n".join(lines).encode() + b"\n"
    if encoding == "binary":
        return pcd_header("binary") + rows().tobytes()
    columns = [np.ascontiguousarray(rows()["v"][:, i]).tobytes() for i in range(6)]
    columns.append(np.ascontiguousarray(rows()["rgb"]).tobytes())
    return pcd_header("binary_compressed") + compressed(b"".join(columns))


@pytest.mark.parametrize("encoding", ["ascii", "binary", "binary_compressed"])
def test_every_pcd_encoding_gives_the_same_points(encoding):
    cloud = pcd.parse(pcd_bytes(encoding), "cloud")
    assert cloud.normals is not None
    assert cloud.viewpoints is not None
    np.testing.assert_allclose(cloud.points, POINTS, atol=1e-7)
    np.testing.assert_allclose(cloud.normals, NORMALS, atol=1e-6)
    np.testing.assert_allclose(cloud.viewpoints[7], [0.0, 0.0, 1.0])


def padded(encoding: str, written: bool = True) -> bytes:
    """With fields of padding, one of COUNT 0; written: into the data too, not only the header."""
    header = pcd_header(
        encoding,
        FIELDS="x y z _ intensity _ ring _",
        SIZE="4 4 4 1 4 1 2 1",
        TYPE="F F F U F U U U",
        COUNT="1 1 1 4 1 0 1 10",
    )
    parts = [("xyz", "<f4", 3), ("a", "u1", 4), ("i", "<f4"), ("ring", "<u2"), ("b", "u1", 10)]
    table = np.zeros(300, parts)
    table["xyz"], table["i"], table["a"], table["b"] = POINTS, 7.0, 3, 9
    if encoding == "binary":
        return header + table.tobytes()
    names = ["xyz", "a", "i", "ring", "b"] if written else ["xyz", "i", "ring"]
    if encoding == "ascii":
        rows = np.concatenate([table[name].reshape(300, -1) for name in names], axis=1)
        return header + "\n".join(" ".join(map(str, row.tolist())) for row in rows).encode()
    raw = table["xyz"].T.tobytes() + b"".join(table[name].tobytes() for name in names[1:])
    return header + compressed(raw)


@pytest.mark.parametrize("encoding", ["ascii", "binary", "binary_compressed"])
@pytest.mark.parametrize("written", [True, False])
def test_pcd_padding_is_skipped(encoding, written):
    np.testing.assert_allclose(pcd.parse(padded(encoding, written), "c").points, POINTS, atol=1e-7)


@pytest.mark.parametrize("encoding", ["ascii", "binary", "binary_compressed"])
@pytest.mark.parametrize("spelling", ["\r", "\r\n", "tabs", "small", "no COUNT", "first count 0"])
def test_pcd_headers_of_other_spellings(encoding, spelling):
    head, mark, body = pcd_bytes(encoding).partition(b"DATA " + encoding.encode() + b"\n")
    head += mark
    if spelling == "no COUNT":
        head = head.replace(b"COUNT 1 1 1 1 1 1 1\n", b"")
    elif spelling == "first count 0":
        for key, added in (b"FIELDS", b"_"), (b"SIZE", b"8"), (b"TYPE", b"F"), (b"COUNT", b"0"):
            head = head.replace(b"\n" + key, b"\n" + key + b" " + added)
    elif spelling == "tabs":
        head = head.replace(b" ", b"\t")
    elif spelling == "small":
        head = head.lower()
    else:
        head = head.replace(b"\n", spelling.encode())
    np.testing.assert_allclose(pcd.parse(head + body, "cloud").points, POINTS, atol=1e-7)


def ply_header(form: str, points: int = 300, extra: str = "") -> bytes:
    names = ("x", "y", "z", "nx", "ny", "nz")
    properties = "".join(f"property float {name}\n" for name in names)
    return (
        f"ply\nformat {form} 1.0\ncomment Köln\n{extra}element vertex {points}\n{properties}"
        "property uchar red\nelement face 0\nproperty list uchar int vertex_indices\nend_header\n"
    ).encode("latin-1")


def ply_bytes(form: str) -> bytes:
    both = np.concatenate([POINTS, NORMALS], axis=1)
    if form == "ascii":
        lines = "".join(" ".join(map(str, row.tolist())) + " 255\n" for row in both)
        return ply_header(form) + lines.encode()
    order = "<" if form == "binary_little_endian" else ">"
    table = np.zeros(300, [("v", f"{order}f4", 6), ("red", "u1")])
    table["v"] = both
    return ply_header(form) + table.tobytes()


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_every_ply_encoding_gives_the_same_points(form):
    cloud = ply.parse(ply_bytes(form), "cloud")
    assert cloud.normals is not None
    np.testing.assert_allclose(cloud.points, POINTS, atol=1e-7)
    np.testing.assert_allclose(cloud.normals, NORMALS, atol=1e-6)


def text_of(table: np.ndarray, between: str = " ") -> str:
    return "".join(between.join(f"{value:.9g}" for value in row) + "\n" for row in table.tolist())


WITH_COLOUR = np.concatenate([POINTS, np.full((300, 4), 128.0)], axis=1)
XYZ = {
    "plain": text_of(POINTS),
    "a count, intensity, colour": "300\n" + text_of(WITH_COLOUR),
    "names of columns": "//X Y Z R G B\nx y z r g b\n" + text_of(WITH_COLOUR[:, :6]),
    "commas": "x,y,z\n" + text_of(POINTS, ","),
    "commas and blanks": text_of(POINTS, ", "),
    "semicolons, decimal commas": text_of(POINTS, ";").replace(".", ","),
    "blanks, decimal commas": text_of(POINTS).replace(".", ","),
    "comments, empty lines": "# a\n\n" + text_of(POINTS).replace("\n", "\n  # b\n\n"),
    "tabs, CR": text_of(POINTS, "\t").replace("\n", "\r"),
    "no last line end": text_of(POINTS).rstrip(),
}


@pytest.mark.parametrize("spelling", XYZ)
def test_text_of_points_in_any_spelling(spelling):
    cloud = xyz.parse(XYZ[spelling].encode(), "cloud")
    np.testing.assert_allclose(cloud.points, POINTS, atol=1e-8)
    assert cloud.normals is None


@pytest.mark.parametrize("before", [0, 1, 3])
def test_text_of_points_with_normals(before):
    colour = np.full((300, before), 128.0)
    table = np.concatenate([POINTS, colour, NORMALS], axis=1)
    cloud = xyz.parse(text_of(table).encode(), "cloud")
    assert cloud.normals is not None
    np.testing.assert_allclose(cloud.normals, NORMALS, atol=1e-6)


def las_bytes(minor: int = 2, points: int = 300, form: int = 0, origin: float = 0.0) -> bytes:
    length = 375 if minor == 4 else 227
    header = bytearray(length + 40)  # a record of the writer's own before the points
    header[:4], header[24:26] = b"LASF", bytes([1, minor])
    struct.pack_into("<HII", header, 94, length, length + 40, 1)
    struct.pack_into("<BHI", header, 104, form, 26, 0 if minor == 4 else points)
    struct.pack_into("<6d", header, 131, 1e-6, 1e-6, 1e-6, origin, origin, 0.0)
    if minor == 4:
        struct.pack_into("<Q", header, 247, points)
    table = np.zeros(300, [("xyz", "<i4", 3), ("rest", "u1", 14)])
    table["xyz"] = np.round(POINTS * 1e6)
    return bytes(header) + table.tobytes()


@pytest.mark.parametrize("minor", [0, 2, 4])
def test_las(minor):
    np.testing.assert_allclose(las.parse(las_bytes(minor), "c").points, POINTS, atol=1e-6)


def test_a_cloud_is_not_sent_in_a_circle(tmp_path):
    for suffix in ("xyz", "pts", "csv", "las", "pcd"):
        with pytest.raises(AssetError, match="make a mesh of it with `r2s object reconstruct`"):
            read_bytes(tmp_path / f"cloud.{suffix}")
    path = tmp_path / "cloud.las"
    path.write_bytes(las_bytes())
    assert len(read(path, "auto", None)[0]) == 300
    with pytest.raises(AssetError, match=r"pass it to `r2s object check` as it is"):
        read(tmp_path / "mesh.stl", "auto", None)
    with pytest.raises(AssetError, match=r"CloudCompare and save it as \.ply"):
        read(tmp_path / "scan.laz", "auto", None)


def test_an_organised_cloud_loses_its_empty_pixels_and_says_so():
    table = rows().copy()
    table["v"][:200:3] = np.nan
    header = pcd_header("binary", WIDTH="30", HEIGHT="10")
    cloud = pcd.parse(header + table.tobytes(), "cloud")
    assert len(cloud) == 300 - 67
    assert "67 of 300 points without a position" in cloud.findings[0].what


def test_lzf_repeats_overlapping_patterns():
    packed = bytes([2]) + b"abc" + bytes([(7 << 5), 20, 2]) + bytes([0]) + b"!"
    assert lzf.decompress(packed, 3 + 29 + 1) == (b"abc" * 11)[:32] + b"!"
    with pytest.raises(ValueError, match="outside"):
        lzf.decompress(bytes([0]) + b"a" + bytes([1 << 5, 9]), 4)
    with pytest.raises(ValueError, match="cannot hold"):
        lzf.decompress(b"\0a", 10**9)


BINARY, TEXT = pcd_bytes("binary"), pcd_bytes("ascii")
REFUSED = {
    "two billion.pcd": (pcd_header("binary", 2_000_000_000), "over the limit of 5000000"),
    "four million.pcd": (pcd_header("binary", 4_000_000) + b"\0" * 999, "only 999 bytes follow"),
    "million text.pcd": (pcd_header("ascii", 1_000_000) + b"0 0 0\n", "only 6 bytes follow"),
    "bomb.pcd": (
        pcd_header("binary_compressed", 4_000_000) + struct.pack("<II", 9, 112_000_000) + b"\0" * 9,
        "4000000 points in 9 compressed bytes",
    ),
    "cut.pcd": (BINARY[:-40], "truncated"),
    "cut text.pcd": (TEXT[: len(TEXT) // 2], "PCD"),
    "words.pcd": (pcd_header("ascii") + b"one two\n" * 900, "damaged"),
    "shape.pcd": (pcd_header("binary", WIDTH="7") + rows().tobytes(), "300 points, but 7 x 1"),
    "huge count.pcd": (pcd_header("binary", COUNT="1 1 1 1 1 1 99999999"), "COUNT"),
    "odd size.pcd": (pcd_header("binary", SIZE="3 4 4 4 4 4 4"), "SIZE 3"),
    "no xyz.pcd": (pcd_header("binary", FIELDS="a b c d e f g") + rows().tobytes(), "without x y"),
    "unknown.pcd": (pcd_header("zstd"), "'zstd'"),
    "no header.pcd": (b"hello " * 100, "no PCD header"),
    "few.pcd": (pcd_header("binary", 50) + b"\0" * 1400, "too few"),
    "negative.pcd": (pcd_header("binary", -300), "damaged"),
    "million.ply": (ply_header("binary_little_endian", 3_000_000) + b"\0" * 99, "only 99 bytes"),
    "billion.ply": (ply_header("ascii", 10**12), "over the limit"),
    "ragged.xyz": (text_of(POINTS).encode() + b"0 0\n", "902 numbers in 301 lines"),
    "words.csv": (text_of(POINTS, ",").encode() + b"a,b,c\n", "'a' is not a number"),
    "prose.txt": (b"once upon a time\n" * 200, "no line of three numbers"),
    "cut.las": (las_bytes()[:-300], "truncated"),
    "billion.las": (las_bytes(points=10**9), "over the limit"),
    "laz.las": (las_bytes(form=128 + 3), "compressed"),
    "short.las": (b"LASF" + b"\0" * 90, "no LAS header"),
    "cut.ply": (ply_bytes("binary_little_endian")[:-9], "truncated"),
    "words.ply": (ply_header("ascii") + b"a b c d e f g\n" * 300, "damaged"),
    "list.ply": (
        ply_header("binary_little_endian", extra="element a 5\nproperty list int int b\n")
        + struct.pack("<i", 2**30)
        + b"\0" * 9000,
        "truncated or damaged",
    ),
    "format.ply": (ply_header("binary_middle_endian"), "binary_middle_endian"),
    "no header.ply": (b"hello " * 100, "no PLY header"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_clear_sentence_and_at_once(name):
    content, why = REFUSED[name]
    start = time.perf_counter()
    with pytest.raises(AssetError) as error:
        parsed(content, name[name.rindex(".") :], name)
    assert time.perf_counter() - start < 1.0
    assert why in str(error.value)
    assert str(error.value).startswith(name)
    assert "\n" not in str(error.value)


def test_all_nan_and_missing_and_oversize(tmp_path):
    table = rows().copy()
    table["v"] = np.nan
    with pytest.raises(AssetError, match="only 0 of 300 points"):
        pcd.parse(pcd_header("binary") + table.tobytes(), "c")
    with pytest.raises(AssetError, match="no such file"):
        read(tmp_path / "no.pcd", "auto", None)
    big = tmp_path / "big.pcd"
    with big.open("wb") as file:
        file.truncate(101 * 2**20)
    with pytest.raises(AssetError, match="limit of 100 MB"):
        read(big, "auto", None)


@pytest.mark.parametrize("kind", ["ascii.pcd", "binary.pcd", "binary_compressed.pcd", "b.ply"])
def test_mutated_files_are_read_or_refused_but_never_crash(kind):
    suffix = kind.rsplit(".")[-1]
    good = pcd_bytes(kind[:-4]) if suffix == "pcd" else ply_bytes("binary_little_endian")
    parse = pcd.parse if suffix == "pcd" else ply.parse
    rng = np.random.default_rng(3)
    refused = 0
    for i in range(150):
        data = bytearray(good)
        if i % 3 == 0:
            del data[int(rng.integers(len(data))) :]
        for _ in range(int(rng.integers(1, 12))):
            end = min(400, len(data)) if rng.random() < 0.6 else len(data)
            if end:
                data[int(rng.integers(end))] = int(rng.integers(256))
        try:
            cloud = parse(bytes(data), "m")
        except AssetError:
            refused += 1
            continue
        assert np.isfinite(cloud.points).all()
    assert refused > 20


def test_units_are_told_apart_by_size_or_asked_for(tmp_path):
    def write(scale: float):
        path = tmp_path / "cloud.ply"
        table = np.zeros(300, [("v", "<f4", 6), ("red", "u1")])
        table["v"][:, :3] = POINTS * scale
        path.write_bytes(ply_header("binary_little_endian") + table.tobytes())
        return path

    assert read(write(1.0), "auto", None)[1] == 1.0
    cloud, unit = read(write(1000.0), "auto", None)
    assert unit == 0.001
    assert any("taken as millimetres" in finding.what for finding in cloud.findings)
    with pytest.raises(AssetError, match="say which with --units"):
        read(write(60.0), "auto", None)
    assert read(write(100.0), "cm", None)[1] == 0.01
    with pytest.raises(AssetError, match="set --units"):
        read(write(1000.0), "m", None)


def relief(size: float) -> np.ndarray:
    """Hills seen from the air, of this size across, a fifth as high."""
    x, y = np.random.default_rng(0).random((2, 4000))
    return np.stack([x, 0.9 * y, 0.1 * (np.sin(7 * x) * np.cos(5 * y) + 1.0)], axis=1) * size


def test_land_is_not_taken_for_an_object(tmp_path):
    path = tmp_path / "land.xyz"
    path.write_text(text_of(relief(297.0)))
    with pytest.raises(AssetError, match="land in metres or an object in millimetres; say which"):
        read(path, "auto", None)
    assert read(path, "mm", None)[1] == 0.001
    with pytest.raises(AssetError, match=r"read as m it is 29\d m across"):
        read(path, "m", None)
    path.write_text(text_of(relief(297.0) + np.array([448262.0, 5411932.0, 0.0])))
    with pytest.raises(AssetError, match=r"read as m it is 29\d m across"):
        read(path, "auto", None)
    path.write_text(text_of(POINTS * 1000.0))  # all around, so a thing
    assert read(path, "auto", None)[1] == 0.001


def test_a_cloud_on_a_map_is_in_metres_and_needs_its_digits(tmp_path):
    path = tmp_path / "scan.las"
    path.write_bytes(las_bytes(origin=5411932.5))
    cloud, unit = read(path, "auto", None)
    assert unit == 1.0
    np.testing.assert_allclose(np.ptp(cloud.points, axis=0), np.ptp(POINTS, axis=0), atol=1e-5)
    path = tmp_path / "scan.ply"
    table = np.zeros(300, [("v", "<f4", 6), ("red", "u1")])
    table["v"][:, :3] = POINTS + np.array([448262.0, 5411932.0, 112.0])
    path.write_bytes(ply_header("binary_little_endian") + table.tobytes())
    with pytest.raises(AssetError, match="its shape is lost"):
        read(path, "auto", None)
