"""Reads data sets of demonstrations, each format by the plugin that knows it.

A plugin of the kind "dataset" has a builder that is its reader:

    read(path: Path, features: Mapping[str, str | tuple[str, ...]], episodes: int | None) -> DataSet

`features` says what the file calls our groups, "action" (the label), "executed_action", "reward"
and "success"; a name that it lacks is the format's own. The reader raises `ConfigError`, with one
sentence, for a file that is damaged or lacks what is asked for. The manifest's `marker` says by
which file a folder of this format is recognised.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from r2s_core import registry
from r2s_core.config import DemonstrationsConfig
from r2s_core.demonstrations.episode import DataSet, Episode
from r2s_core.errors import ConfigError
from r2s_core.plugin import Plugin
from r2s_core.policy import packed
from r2s_core.system import files
from r2s_core.system.foreign import calling

#: What a data set has beside observation groups.
PARTS = ("action", "executed_action", "reward", "success")
_KEY = "r2s-demonstrations"
_LIMIT = 512 * files.MIB


def read(config: DemonstrationsConfig) -> DataSet:
    """The configured episodes of the data set `config.source`; raises `ConfigError`."""
    path, where = Path(str(config.source)), f"demonstrations.source: {config.source}"
    data = _unpacked(path) if path.is_file() else _read_folder(path, config, where)
    episodes = data.episodes
    if config.successful_only:
        episodes = tuple(episode for episode in episodes if episode.success is not False)
        if not episodes and data.episodes:
            raise ConfigError(
                f"{where}: none of its {len(data.episodes)} episodes succeeded; set "
                "`demonstrations.successful_only: false` to learn from them all the same"
            )
    wanted = config.episodes or len(episodes)
    if len(episodes) < wanted or not wanted:
        raise ConfigError(
            f"{where}: it has {len(episodes)} episodes to learn from"
            + (f", but demonstrations.episodes is {wanted}" if wanted else "")
        )
    return DataSet(episodes[:wanted], data.names, data.control_rate_hz)


def pack(data: DataSet) -> bytes:
    """One file with all of a data set, as runs keep it."""
    arrays: dict[str, np.ndarray] = {}
    facts: list[dict[str, Any]] = []
    for i, episode in enumerate(data.episodes):
        columns = {"label": episode.label, "action": episode.action, "reward": episode.reward}
        columns |= {f"obs/{name}": x for name, x in episode.obs.items()}
        columns |= {f"final_obs/{name}": x for name, x in (episode.final_obs or {}).items()}
        arrays |= {f"{i}/{k}": np.ascontiguousarray(x) for k, x in columns.items() if x is not None}
        facts.append({"terminated": episode.terminated, "success": episode.success})
    described = {
        "episodes": facts,
        "names": {name: list(names) for name, names in data.names.items()},
        "control_rate_hz": data.control_rate_hz,
    }
    return safetensors.numpy.save(arrays, {_KEY: json.dumps(described)})


def _unpacked(path: Path) -> DataSet:
    """What `pack` wrote; raises `ConfigError`."""
    text = packed.metadata(path).get(_KEY)
    try:
        if text is None:
            raise ValueError("it holds no demonstrations")
        data = files.read_bytes(path, limit=_LIMIT, what="demonstrations", error=ConfigError)
        arrays, described = safetensors.numpy.load(data), files.parse_json(text)
        episodes = [_episode(arrays, i, facts) for i, facts in enumerate(described["episodes"])]
        names = {name: tuple(of) for name, of in described["names"].items()}
        return DataSet(tuple(episodes), names, float(described["control_rate_hz"]))
    except (ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise ConfigError(f"demonstrations.source: {path} is damaged: {error}") from error


def _episode(arrays: Mapping[str, np.ndarray], index: int, facts: Mapping[str, Any]) -> Episode:
    prefix = f"{index}/"
    own = {k.removeprefix(prefix): x for k, x in arrays.items() if k.startswith(prefix)}

    def group(kind: str) -> dict[str, np.ndarray]:
        return {k.removeprefix(kind): x for k, x in own.items() if k.startswith(kind)}

    return Episode(
        obs=group("obs/"),
        label=own["label"],
        action=own["action"],
        terminated=bool(facts["terminated"]),
        reward=own.get("reward"),
        success=facts["success"],
        final_obs=group("final_obs/") or None,
    )


def _read_folder(path: Path, config: DemonstrationsConfig, where: str) -> DataSet:
    if not path.is_dir():
        raise ConfigError(f"{where}: there is no such folder")
    formats = [registry.get("dataset", entry.name) for entry in registry.discover("dataset")]
    for found in formats:
        if (path / str(found.plugin.marker)).exists():
            reader = registry.load_target(found)
            with calling(f"dataset '{found.plugin.name}'", reader):
                # With a filter, which episodes are wanted is only known once they are read.
                limit = None if config.successful_only else config.episodes
                return reader(path, config.features, limit)
    raise ConfigError(
        f"{where}: it is neither a run, which would have a policy/, {_known(formats)}"
    )


def _known(formats: list[registry.Installed]) -> str:
    plugins: list[Plugin] = [found.plugin for found in formats]
    if not plugins:
        return "nor can data sets be read: `pip install r2s-lerobot` reads LeRobot's"
    kinds = " or ".join(f"{plugin.name}, which would have {plugin.marker}" for plugin in plugins)
    return f"nor a data set of the format {kinds}"
