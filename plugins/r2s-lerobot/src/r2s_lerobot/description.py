"""`r2s demo info`: what a data set holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from r2s_core.device import size_text
from r2s_core.system import files
from r2s_core.system.console import stdout_console
from r2s_core.system.progress import percent
from r2s_lerobot import layout
from r2s_lerobot.metadata import EpisodeRow, Metadata, episode_rows, load
from r2s_lerobot.tables import integers, is_true, numbers, read_table

_SHOWN_NAMES = 6


def describe(folder: Path, *, as_json: bool = False) -> None:
    """Print a table, or JSON; raises `ConfigError` where the data set cannot be read."""
    facts = facts_of(folder)
    if as_json:
        print(json.dumps(files.strict(facts), indent=2))
        return
    table = Table(title=str(folder), show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _rows(facts):
        table.add_row(name, value)
    stdout_console().print(table)


def facts_of(folder: Path) -> dict[str, Any]:
    """What `describe` tells."""
    metadata = load(folder)
    rows = episode_rows(metadata)
    lengths = [row.length for row in rows]
    recording = dict(metadata.recording or {})
    return {
        "version": metadata.version,
        "robot": metadata.robot,
        "episodes": len(rows),
        "frames": sum(lengths),
        "rate_hz": metadata.rate_hz,
        "shortest": min(lengths, default=0),
        "longest": max(lengths, default=0),
        "success_rate": _success_rate(metadata, rows),
        "features": {
            name: {"dtype": of.dtype, "shape": of.shape, "names": of.names}
            for name, of in metadata.features.items()
            if name not in layout.INDICES
        },
        "videos": {name: _video(metadata, rows, name) for name in metadata.videos},
        "recording": recording or None,
    }


def _video(metadata: Metadata, rows: list[EpisodeRow], name: str) -> dict[str, Any]:
    """How a camera's images are kept, and how much of them there is; None: it is not said."""
    info = metadata.features[name].info
    paths = {row.films[name].file for row in rows if name in row.films}
    sizes = [path.stat().st_size for path in paths if path.is_file()]
    said = {key: info.get(f"video.{key}") for key in ("codec", "pix_fmt", "crf")}
    return {**said, "files": len(paths), "missing": len(paths) - len(sizes), "bytes": sum(sizes)}


def _success_rate(metadata: Metadata, rows: list[EpisodeRow]) -> float | None:
    """By the last frame of each episode; None where the data set does not tell."""
    if layout.SUCCESS not in metadata.features or not rows:
        return None
    ended: list[np.ndarray] = []
    for path in dict.fromkeys(row.file for row in rows):
        table = read_table(path, ["episode_index", layout.SUCCESS])
        episode = integers(table, "episode_index", path)
        success = numbers(table[layout.SUCCESS], 1, f"{path}: {layout.SUCCESS}")[:, 0]
        lasts = np.flatnonzero(np.append(np.diff(episode) != 0, True)) if len(episode) else []
        ended.append(is_true(success[lasts]))
    return float(np.concatenate(ended)[: len(rows)].mean())


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("format", f"LeRobotDataset {facts['version']}"),
        ("robot", facts["robot"] or "-"),
        (
            "episodes",
            f"{facts['episodes']:,}, of {facts['shortest']:,} to {facts['longest']:,} frames",
        ),
        ("frames", f"{facts['frames']:,}, {facts['rate_hz']:g} a second"),
        ("success", percent(facts["success_rate"])),
        *_recording_rows(facts["recording"]),
    ]
    for name, of in facts["features"].items():
        shape = " x ".join(map(str, of["shape"]))
        video = facts["videos"].get(name)
        more = _told_of_video(video) if video else _names(of["names"])
        rows.append((name, f"{of['dtype']} {shape}{more}"))
    return rows


def _told_of_video(video: dict[str, Any]) -> str:
    codec = " ".join(str(video[key]) for key in ("codec", "pix_fmt") if video[key])
    loss = {None: "", 0: ", without loss"}.get(video["crf"], f", lossy (CRF {video['crf']})")
    missing = f", {video['missing']:,} of them missing" if video["missing"] else ""
    size = f"{video['files']:,} files of {size_text(video['bytes'])}"
    return f": {codec or 'video'}{loss}; {size}{missing}"


def _names(names: tuple[str, ...]) -> str:
    if not names:
        return ""
    more = f", ... ({len(names)})" if len(names) > _SHOWN_NAMES else ""
    return f": {', '.join(names[:_SHOWN_NAMES])}{more}"


def _recording_rows(recording: dict[str, Any] | None) -> list[tuple[str, str]]:
    if not recording or recording.get("format") != layout.FORMAT:
        return []
    told = {name: recording.get(name) for name in _TOLD}
    played, succeeded = told["episodes_played"], told["episodes_succeeded"]
    share = None
    if isinstance(played, int) and isinstance(succeeded, int) and played > 0:
        share = succeeded / played
    rows = [
        ("recorded from", f"{told['name']}, seed {told['seed']}, {told['backend']}"),
        ("expert", f"{told['expert']}; of {played} episodes played, {percent(share)} succeeded"),
        ("noise", f"{told['noise_std']} on what was executed" if told["noise_std"] else "none"),
    ]
    if not told["complete"]:
        rows.append(("ended early", f"of {told['episodes_wanted']} episodes that were wanted"))
    return rows


_TOLD = (
    "name",
    "seed",
    "backend",
    "expert",
    "noise_std",
    "episodes_played",
    "episodes_succeeded",
    "episodes_wanted",
    "complete",
)
