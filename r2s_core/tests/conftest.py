"""Fixtures that stand in for other people's packages, and runs of a tiny task."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from r2s_core.config import load_config
from r2s_core.plugin import CONTRACT_VERSION
from r2s_core.policy.saved import load_policy
from r2s_core.training.run import run

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
    contract: int = CONTRACT_VERSION,
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


_SOURCE = Path(__file__).with_name("tiny_plugin.py")
_POINTS = {
    "r2s.environments": {"touch": "tiny_plugin:ENVIRONMENT"},
    "r2s.algorithms": {"climb": "tiny_plugin:ALGORITHM"},
}


class Tiny:
    """Writes configurations of the tiny task and runs them, here or in a process of its own."""

    def __init__(self, folder: Path, package: Path) -> None:
        self.folder, self.package = folder, package
        self.run_dir = folder / "runs" / "tiny"

    def write(self, **sections) -> Path:
        config = {
            "name": "tiny",
            "output": str(self.run_dir),
            "backend": "mujoco",
            "environment": {"use": "touch", "num_parallel_envs": 64},
            "training": {"total_timesteps": 6400, "checkpoint_interval_s": 60},
            "evaluation": {"episodes": 1000, "num_parallel_envs": 64},
            "algorithms": {"climb": {}},
        }
        for section, values in sections.items():
            config[section] = (
                {**config.get(section, {}), **values} if isinstance(values, dict) else values
            )
        path = self.folder / "tiny.yaml"
        path.write_text(yaml.safe_dump(config))
        return path

    def run(self, resume=False, **sections):
        from tiny_plugin import make_env  # type: ignore[import-not-found]

        return run(load_config(self.write(**sections)), resume=resume, make_env=make_env)

    def start(self, *arguments, **sections) -> subprocess.Popen[str]:
        paths = [str(self.package), os.environ.get("PYTHONPATH", "")]
        command = [sys.executable, str(self.package / "tiny_plugin.py")]
        return subprocess.Popen(
            [*command, str(self.write(**sections)), *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def result(self):
        return json.loads((self.run_dir / "result.json").read_text())

    def metrics(self):
        """metrics.csv without what depends on the clock."""
        lines = (self.run_dir / "metrics.csv").read_text().splitlines()
        columns = lines[0].split(",")
        keep = [i for i, name in enumerate(columns) if name not in ("wall_s", "steps_per_second")]
        return [[line.split(",")[i] for i in keep] for line in lines]

    def weights(self):
        return load_policy(self.run_dir).tensors

    def assert_the_last_row_is_saved(self) -> None:
        last = max((self.run_dir / "checkpoints").glob("step-*")).stem.removeprefix("step-")
        assert int(self.metrics()[-1][0]) == int(last)

    def signal_at(self, update: int, signum: int, monkeypatch, times: int = 1) -> None:
        """Make the learner signal its own process in the middle of an update."""
        import tiny_plugin  # type: ignore[import-not-found]

        original = tiny_plugin.Climb.update

        def signalling(climb, learner):
            if climb.updates + 1 == update:
                for _ in range(times):
                    os.kill(os.getpid(), signum)
            return original(climb, learner)

        monkeypatch.setattr(tiny_plugin.Climb, "update", signalling)

    def wait_for_checkpoints(self, count: int) -> None:
        """Until the run is under way and has saved a few times."""
        deadline, seen = time.monotonic() + 60, set()
        while len(seen) < count:
            assert time.monotonic() < deadline, "the run saved nothing"
            seen |= {p.name for p in (self.run_dir / "checkpoints").glob("step-*")}
            time.sleep(0.01)


@pytest.fixture
def tiny(tmp_path: Path, install: Install) -> Tiny:
    """Runs of the tiny task of `tiny_plugin.py`."""
    package = install("tiny-task", _POINTS, {"tiny_plugin": _SOURCE.read_text()})
    return Tiny(tmp_path, package)
