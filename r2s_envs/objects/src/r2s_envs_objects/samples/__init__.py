"""Scans shipped with r2s: shapes of our own, scanned by simulated depth cameras.

`scripts/make_samples.py` makes them; `truth.json` holds what was scanned.
"""

from __future__ import annotations

from pathlib import Path

from r2s_core.errors import AssetError

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """The samples that `sample:NAME` may name."""
    return tuple(sorted(p.stem for p in FOLDER.iterdir() if p.suffix in (".stl", ".ply", ".obj")))


def path(name: str) -> Path:
    """The file of a sample; AssetError if there is none of that name."""
    for candidate in FOLDER.glob("*"):
        if candidate.stem == name and candidate.suffix in (".stl", ".ply", ".obj"):
            return candidate
    raise AssetError(f"sample:{name}: no such sample; there are {', '.join(names())}")
