"""Formats that are not read here: their names, and how to convert them to one that is; light."""

from __future__ import annotations

import shlex
from pathlib import Path

_TRIMESH = (
    'convert it with python -c "import sys, trimesh; '
    "trimesh.load(sys.argv[1], force='mesh').export(sys.argv[2])\" {name} {target}"
)
_BLENDER = "import it in Blender and export it as .ply (or .stl, .obj)"
_CAD = "open it in FreeCAD and export a mesh as .stl"
_CLOUDCOMPARE = "open it in CloudCompare and save it as .ply"
_Y_UP = ", then give `up: y`"

#: Suffix -> what it is, and what to do with it.
_FORMATS = {
    ".glb": ("a binary glTF scene", _TRIMESH + _Y_UP),
    ".gltf": ("a glTF scene", _TRIMESH + _Y_UP),
    ".off": ("an OFF mesh", _TRIMESH),
    ".usdz": ("a USDZ scene, as iPhones export", _BLENDER),
    ".usd": ("a USD scene", _BLENDER),
    ".usda": ("a USD scene", _BLENDER),
    ".usdc": ("a USD scene", _BLENDER),
    ".fbx": ("an FBX scene", _BLENDER),
    ".dae": ("a COLLADA scene", _BLENDER),
    ".3ds": ("a 3DS scene", _BLENDER),
    ".x3d": ("an X3D scene", _BLENDER),
    ".wrl": ("a VRML scene", _BLENDER),
    ".abc": ("an Alembic scene", _BLENDER),
    ".blend": ("a Blender scene", "open it in Blender and export it as .ply (or .stl, .obj)"),
    ".3mf": ("a 3MF print", "open it in PrusaSlicer or Blender and export it as .stl"),
    ".amf": ("an AMF print", "open it in PrusaSlicer and export it as .stl"),
    ".vtk": ("a VTK mesh", "open it in ParaView and save it as .ply"),
    ".step": ("a STEP part, with surfaces but no mesh", _CAD),
    ".stp": ("a STEP part, with surfaces but no mesh", _CAD),
    ".iges": ("an IGES part, with surfaces but no mesh", _CAD),
    ".igs": ("an IGES part, with surfaces but no mesh", _CAD),
    ".laz": ("a compressed LAS cloud", _CLOUDCOMPARE),
    ".e57": ("an E57 cloud", _CLOUDCOMPARE),
    ".splat": ("a Gaussian splat", "export a mesh where the scan was made"),
    ".zip": ("a ZIP archive", "unpack it first"),
    ".gz": ("a gzip archive", "unpack it first"),
}

#: How files begin, in lower case -> their suffix, or what they are.
_BEGINNINGS = (
    (b"gltf", ".glb"),
    (b"off\n", ".off"),
    (b"off\r\n", ".off"),
    (b"pxr-usdc", ".usdc"),
    (b"#usda", ".usda"),
    (b"kaydara fbx", ".fbx"),
    (b"iso-10303-21", ".step"),
    (b"pk\x03\x04", ".zip"),
    (b"\x1f\x8b", ".gz"),
    (b"ply\n", ".ply"),
    (b"ply\r", ".ply"),
    (b"# .pcd", ".pcd"),
    (b"lasf", ".las"),
    (b"<!doctype html", "a web page: the download failed; fetch the file itself"),
    (b"<html", "a web page: the download failed; fetch the file itself"),
    (b"version https://git-lfs", "a Git LFS pointer; fetch the file with `git lfs pull`"),
)


def advice(path: Path) -> str | None:
    """What a file of this name is and how to convert it; None if the format is unknown."""
    if (known := _FORMATS.get(path.suffix.lower())) is None:
        return None
    what, how = known
    if not str(path).isprintable():  # escaped in a command, it would name another file
        path = Path("scan" + path.suffix)
    name, target = (shlex.quote(str(x)) for x in (path, path.with_suffix(".ply")))
    return f"{what}, which r2s does not read; " + how.format(name=name, target=target)


def misnamed(data: bytes, path: Path) -> str | None:
    """What a file is by its first bytes, if that contradicts its suffix."""
    head = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginning, what in _BEGINNINGS:
        if head.startswith(beginning) and what != path.suffix.lower():
            if not what.startswith("."):
                return what
            known = advice(path.with_suffix(what))
            return known or f"a {what[1:].upper()} file by its content; name it {what}"
    return None
