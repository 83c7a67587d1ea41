"""Frames and a video of the final policy, where the machine can render; else one plain line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r2s_core.episodes import Recording
from r2s_core.types import Environment


def take_pictures(
    run_dir: Path, env: Environment[Any], recordings: Sequence[Recording]
) -> tuple[list[tuple[str, bytes]], list[str]]:
    return [], []
