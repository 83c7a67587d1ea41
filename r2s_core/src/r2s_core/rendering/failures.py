"""Writes the episodes that failed, one of each kind: a video and a log that can be replayed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r2s_core.evaluation.failed_episodes import FailedEpisode, packed
from r2s_core.rendering.pictures import film_episodes
from r2s_core.system import files
from r2s_core.system.text import say_once
from r2s_core.system.trust import record_content
from r2s_core.types import Environment, HasScene


def keep_failures(
    folder: Path,
    env: Environment[Any],
    found: Mapping[str, FailedEpisode],
    about: Mapping[str, Any],
) -> dict[str, list[str]]:
    """Write KIND.mp4 and KIND.npz into `folder`; returns the files' names by kind.

    about: plain facts for the logs. What cannot be written is told.
    """
    folder.mkdir()
    written: dict[str, list[str]] = {}
    for kind, episode in found.items():
        name, names = _file_name(kind, written), written.setdefault(kind, [])
        if episode.state is not None and isinstance(env, HasScene):
            content = packed(episode, env, about)
            files.write_bytes(folder / f"{name}.npz", content)
            record_content(content, folder / f"{name}.npz")  # so that `r2s replay` reads it
            names.append(f"{name}.npz")
        else:
            say_once(
                "No logs of failures: the task's view lacks qvel or ctrl, so none could replay"
            )
        problem = film_episodes(folder / f"{name}.mp4", env, [episode.recording])
        if problem is None:
            names.append(f"{name}.mp4")
        else:
            say_once(problem)
    return written


def _file_name(kind: str, taken: Mapping[str, list[str]]) -> str:
    """A kind as a file's name; kinds may be in any words."""
    name = re.sub(r"[^a-z0-9]+", "_", kind.lower()).strip("_")[:60] or "failure"
    return (
        f"{name}_{len(taken) + 1}"
        if any(f"{name}.npz" in names for names in taken.values())
        else name
    )
