"""A clean environment for packages under test: its own r2s, the third parties of this one."""

import os
import shutil
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
        """Install without dependencies, which are there, and without the network.

        By uv, which takes a tenth of pip's time; test_installers.py has pip itself.
        """
        options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--no-cache"]
        command = [self.uv(), "pip", "install", "--no-config", *options, "--python", self.python]
        _run([*command, *what], None)

    @staticmethod
    def uv() -> str:
        """uv's path; without uv the test is skipped."""
        places = os.pathsep.join([str(Path(sys.executable).parent), os.defpath])
        uv = shutil.which("uv", path=places)
        if uv is None:
            pytest.skip("uv is not installed (scripts/setup.sh dev installs it)")
        return uv

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


#: Calls hatchling as pip does (PEP 517), all packages in one process: argv is the folder of the
#: wheels and those of the packages; prints the wheels' names.
_BUILD_WHEELS = """
import os, sys
from hatchling.build import build_wheel
for folder in sys.argv[2:]:
    os.chdir(folder)
    print(build_wheel(sys.argv[1]))
"""


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
    built = _run([sys.executable, "-c", _BUILD_WHEELS, out, *folders], None).split()
    names = (str(folder.relative_to(REPOSITORY)) for folder in folders)
    return {name: out / wheel for name, wheel in zip(names, built, strict=True)}


@pytest.fixture
def venv(tmp_path: Path) -> Venv:
    """A fresh virtual environment."""
    return Venv(tmp_path / "venv")


@pytest.fixture
def venv_without_flax(tmp_path: Path) -> Venv:
    """A fresh virtual environment without the packages that only algorithms stand on."""
    return Venv(tmp_path / "venv", ("chex", "distrax", "flax", "optax", "tensorflow_probability"))
