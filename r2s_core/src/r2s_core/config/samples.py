"""Sample configurations that packages ship: `r2s run quickstart`.

A package offers a folder of YAML files under the entry-point group `r2s.configs`, whose values
name the folder like a module: `samples = "r2s.configs"`. Nothing of it is imported.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

from r2s_core.errors import ConfigError
from r2s_core.suggest import did_you_mean
from r2s_core.system.text import say_once

GROUP = "r2s.configs"
_SUFFIX = ".yaml"


def sample_configs() -> dict[str, Path]:
    """The sample configurations of the installed packages, by name."""
    found: dict[str, Path] = {}
    for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda p: p.name):
        folder = _folder(point.value)
        if folder is not None and folder.is_dir():
            for path in sorted(folder.glob(f"*{_SUFFIX}")):
                found.setdefault(path.stem, path)
    return found


def locate(name: str | Path) -> Path:
    """The file that a configuration is read from: the path `name`, else the sample of that name.

    A path takes precedence over a sample, and so does `name.yaml` in the same folder; stderr says
    which sample is used. Anything but a bare name is returned unchanged.

    Raises `ConfigError` where a bare name is neither, naming the samples that there are.
    """
    path = Path(name)
    text = str(name)
    is_bare = path.name == text and path.suffix in ("", _SUFFIX)
    if not is_bare or path.is_file() or (path / "config.yaml").is_file():
        return path
    if path.suffix != _SUFFIX and path.with_name(f"{text}{_SUFFIX}").is_file():
        return path.with_name(f"{text}{_SUFFIX}")
    samples = sample_configs()
    stem = text.removesuffix(_SUFFIX)
    if stem in samples:
        say_once(f"{stem}: the sample configuration {samples[stem]}")
        return samples[stem]
    if path.suffix == _SUFFIX or path.exists():
        return path  # reading it reports what is wrong
    raise ConfigError(f"{text}: no such file or sample configuration{_offer(stem, samples)}")


def _offer(name: str, samples: dict[str, Path]) -> str:
    if not samples:
        return "; pip install r2s installs samples"
    return f"{did_you_mean(name, samples)}; there are the samples {', '.join(samples)}"


def _folder(location: str) -> Path | None:
    """The folder "package.folder", of an installed package that is not imported."""
    package, *parts = location.split(".")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0], *parts)
