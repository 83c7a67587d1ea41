"""Scans shipped with r2s: shapes of our own, scanned by simulated depth cameras.

`scripts/make_samples.py` makes them; `truth.json` holds the true shapes.
"""

from __future__ import annotations

from pathlib import Path

from r2s_core.errors import AssetError

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """The names that `sample:NAME` accepts."""
    return tuple(sorted(p.stem for p in FOLDER.iterdir() if p.suffix in (".stl", ".ply", ".obj")))


def path(name: str) -> Path:
    """The file of a sample; AssetError if there is no such sample."""
    for candidate in FOLDER.glob("*"):
        if candidate.stem == name and candidate.suffix in (".stl", ".ply", ".obj"):
            return candidate
    raise AssetError(f"sample:{name}: no such sample; there are {', '.join(names())}")
