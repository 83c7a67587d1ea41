"""Fixtures that stand in for other people's packages."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

#: A light module with a manifest; `{...}` are filled by `_manifest`.
_MANIFEST = """
import dataclasses
from r2s_core.plugin import Plugin, option

@dataclasses.dataclass(frozen=True)
class Options:
{options}

PLUGIN = Plugin(name={name!r}, kind={kind!r}, summary="made for a test", target={target!r},
                config=Options, contract={contract})
"""


def _manifest(
    name: str,
    kind: str,
    target: str = "math:floor",
    options: str = "    size: int = option(3, 'how big', minimum=1)",
    contract: int = 1,
) -> str:
    """The source of a manifest module."""
    return _MANIFEST.format(name=name, kind=kind, target=target, options=options, contract=contract)


Install = Callable[..., Path]


@pytest.fixture
def manifest() -> Callable[..., str]:
    """`manifest(name, kind, target=, options=, contract=)`: the source of a manifest module."""
    return _manifest


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """`install(dist, {group: {name: location}}, {module: source})` puts a package on sys.path."""

    def put(
        dist: str,
        points: Mapping[str, Mapping[str, str]],
        modules: Mapping[str, str],
        version: str = "1.2.3",
    ) -> Path:
        folder = tmp_path / "site" / dist
        info = folder / f"{dist.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n")
        lines = []
        for group, names in points.items():
            lines += [f"[{group}]", *(f"{name} = {where}" for name, where in names.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        for module, source in modules.items():
            (folder / f"{module}.py").write_text(source)
            monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.syspath_prepend(folder)
        return folder

    return put
