"""A clean environment for packages under test: its own r2s, the third parties of this one."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Collection
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


class Venv:
    """A virtual environment in which no r2s package is installed to begin with."""

    def __init__(self, folder: Path, without: Collection[str] = ()) -> None:
        """without: modules of third parties that are left out."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.bin = folder / "bin"
        self.python = self.bin / "python"
        site = Path(
            self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        )
        shared = folder / "third-party"
        shared.mkdir()
        for item in Path(sysconfig.get_path("purelib")).iterdir():
            ours = item.name.startswith(("r2s", "_r2s", "_editable", "__editable__"))
            if not ours and item.name.partition("-")[0].partition(".")[0] not in without:
                (shared / item.name).symlink_to(item)
        (site / "third-party.pth").write_text(f"{shared}\n")

    def pip_install(self, *what: str | Path) -> None:
        """Install without dependencies, which are there, and without the network."""
        options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
        command = [sys.executable, "-m", "pip", "--python", self.python, "install", *options, *what]
        _run(command, None)

    def run(self, *arguments: str | Path, cwd: Path | None = None) -> str:
        """Run Python there; its output."""
        return _run([self.python, *arguments], cwd)

    def r2s(self, *arguments: str | Path, cwd: Path | None = None) -> str:
        """Run the installed command line; its output."""
        return _run([self.bin / "r2s", *arguments], cwd)


def _run(command: list[str | Path], cwd: Path | None) -> str:
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel of every package of this repository, by the package's folder."""
    folders = [
        path.parent
        for pattern in (
            "r2s",
            "r2s_core",
            "r2s_algos/*",
            "r2s_envs/*",
            "r2s_randomization/*",
            "plugins/r2s-*",
        )
        for path in sorted(REPOSITORY.glob(f"{pattern}/pyproject.toml"))
    ]
    out = tmp_path_factory.mktemp("wheels")
    built = {}
    for folder in folders:
        before = set(out.iterdir())
        options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "-w", out]
        _run([sys.executable, "-m", "pip", "wheel", *options, folder], None)
        (built[str(folder.relative_to(REPOSITORY))],) = set(out.iterdir()) - before
    return built


@pytest.fixture
def venv(tmp_path: Path) -> Venv:
    """A fresh virtual environment."""
    return Venv(tmp_path / "venv")


@pytest.fixture
def venv_without_flax(tmp_path: Path) -> Venv:
    """A fresh virtual environment without the packages that only algorithms stand on."""
    return Venv(tmp_path / "venv", ("chex", "distrax", "flax", "optax", "tensorflow_probability"))
