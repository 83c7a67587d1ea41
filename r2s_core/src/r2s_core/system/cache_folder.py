"""The folder of r2s's caches, which can be deleted at any time."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path | None:
    """$R2S_CACHE_DIR, $XDG_CACHE_HOME/r2s or ~/.cache/r2s; None for a user without a home.

    In a container a user may have neither $HOME nor an entry in /etc/passwd.
    """
    if chosen := os.environ.get("R2S_CACHE_DIR"):
        place = Path(chosen)
    else:
        place = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "r2s"
    try:
        return place.expanduser()
    except RuntimeError:
        return None
