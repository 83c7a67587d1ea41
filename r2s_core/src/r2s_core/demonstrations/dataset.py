"""Reads data sets of demonstrations, each format by the plugin that knows it.

A plugin of the kind "dataset" has a builder that is its reader:

    read(path: Path, features: Mapping[str, str | tuple[str, ...]], episodes: int | None) -> DataSet

`features` says what the file calls our groups, "action" (the label), "executed_action", "reward"
and "success"; a name that it lacks is the format's own. The reader raises `ConfigError`, with one
sentence, for a file that is damaged or lacks what is asked for. The manifest's `marker` says by
which file a folder of this format is recognised. Numbers are float32; images uint8[T, H, W, C] or
uint16[T, H, W, 1], as they are: the caller refuses those of another size or kind.
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
#: The largest file that a run keeps of a data set, bytes.
LIMIT = 2048 * files.MIB
#: What a file says of an episode's success, by number.
_SUCCESS = (False, True, None)


def read(config: DemonstrationsConfig, kept: bytes | None = None) -> DataSet:
    """The configured episodes of the data set `config.source`; raises `ConfigError`.

    kept: the content of the file that a run will keep in its place.
    """
    path, where = Path(str(config.source)), f"demonstrations.source: {config.source}"
    if kept is not None:
        data = unpack(kept, str(path))
    elif path.is_file():
        content = files.read_bytes(path, limit=LIMIT, what="demonstrations", error=ConfigError)
        data = unpack(content, str(path))
    else:
        data = _read_folder(path, config, where)
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
    """One file with all of a data set, as runs keep it: the steps of all episodes in a row."""
    episodes = data.episodes
    first = episodes[0]
    arrays = {
        "length": np.asarray([len(episode) for episode in episodes], np.int64),
        "terminated": np.asarray([episode.terminated for episode in episodes]),
        "success": np.asarray([_SUCCESS.index(episode.success) for episode in episodes], np.int8),
        "label": np.concatenate([episode.label for episode in episodes]),
        "action": np.concatenate([episode.action for episode in episodes]),
    }
    rewarded = [episode.reward is not None for episode in episodes]
    if any(rewarded):
        unknown = [np.zeros(len(episode), np.float32) for episode in episodes]
        arrays["rewarded"] = np.asarray(rewarded)
        arrays["reward"] = np.concatenate(
            [y if e.reward is None else e.reward for e, y in zip(episodes, unknown, strict=True)]
        )
    for name in first.obs:
        arrays[f"obs/{name}"] = np.concatenate([episode.obs[name] for episode in episodes])
    if any(episode.final_obs is not None for episode in episodes):
        arrays["finished"] = np.asarray([episode.final_obs is not None for episode in episodes])
        for name, x in first.obs.items():
            unknown = np.zeros_like(x[0])
            arrays[f"final_obs/{name}"] = np.stack(
                [unknown if e.final_obs is None else e.final_obs[name] for e in episodes]
            )
    described = {
        "names": {name: list(names) for name, names in data.names.items()},
        "control_rate_hz": data.control_rate_hz,
    }
    return safetensors.numpy.save(arrays, {_KEY: json.dumps(described)})


def unpack(content: bytes, where: str) -> DataSet:
    """What `pack` wrote; raises `ConfigError`. where: the file, for messages."""
    try:
        text = packed.metadata(content).get(_KEY)
        if text is None:
            raise ValueError("it holds no demonstrations")
        arrays, described = safetensors.numpy.load(content), files.parse_json(text)
        names = {name: tuple(of) for name, of in described["names"].items()}
        return DataSet(_episodes(arrays), names, float(described["control_rate_hz"]))
    except (ValueError, KeyError, TypeError, IndexError, safetensors.SafetensorError) as error:
        raise ConfigError(f"demonstrations.source: {where} is damaged: {error}") from error


def _episodes(arrays: Mapping[str, np.ndarray]) -> tuple[Episode, ...]:
    length = arrays["length"]
    ends = np.cumsum(length)
    steps = {
        name: x
        for name, x in arrays.items()
        if name in ("label", "action", "reward") or name.startswith("obs/")
    }
    if not len(length) or length.min() < 1 or {len(x) for x in steps.values()} != {int(ends[-1])}:
        raise ValueError("its episodes have other lengths than it says")
    finals = {name: x for name, x in arrays.items() if name.startswith("final_obs/")}
    split = {name: np.split(x, ends[:-1]) for name, x in steps.items()}

    def group(columns: Mapping[str, Any], kind: str, i: int) -> dict[str, np.ndarray]:
        return {k.removeprefix(kind): x[i] for k, x in columns.items() if k.startswith(kind)}

    return tuple(
        Episode(
            obs=group(split, "obs/", i),
            label=split["label"][i],
            action=split["action"][i],
            terminated=bool(arrays["terminated"][i]),
            reward=split["reward"][i] if "reward" in split and arrays["rewarded"][i] else None,
            success=_SUCCESS[arrays["success"][i]],
            final_obs=group(finals, "final_obs/", i) if finals and arrays["finished"][i] else None,
        )
        for i in range(len(length))
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
