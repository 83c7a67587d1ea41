"""uv and pip install any package of the repository by its folder's address, without a network.

Third parties are stub wheels: what is tested is where r2s's own packages come from.
"""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
_PROJECTS = {
    str(path.parent.relative_to(REPOSITORY)): tomllib.loads(path.read_text())["project"]
    for pattern in ("r2s", "r2s_core", "r2s_*/*", "plugins/r2s-*")
    for path in sorted(REPOSITORY.glob(f"{pattern}/pyproject.toml"))
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The repository as git serves it, the working tree's files committed."""
    clone = tmp_path_factory.mktemp("served") / "r2s"
    listed = _git(REPOSITORY, "ls-files", "--cached", "--others", "--exclude-standard")
    for name in listed.splitlines():
        if Path(name).parts[0] not in ("benchmarks", "tests") and (REPOSITORY / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, clone / name)
    _git(clone, "init", "--quiet", "--initial-branch=main")
    _git(clone, "add", "--all")
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    _git(clone, *who, "commit", "--quiet", "--message=as it is")
    return f"git+file://{clone}@main"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stub wheels of all third parties."""
    folder = tmp_path_factory.mktemp("index")
    names = {
        dependency.split(">=")[0].split("[")[0]
        for project in _PROJECTS.values()
        for group in (project["dependencies"], *project.get("optional-dependencies", {}).values())
        for dependency in group
    }
    for name in sorted(names - {project["name"] for project in _PROJECTS.values()}):
        stem = f"{name.replace('-', '_')}-9999.0"
        with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
            info = f"{stem}.dist-info"
            wheel.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 9999.0\n"
            )
            wheel.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{info}/RECORD", "")
    return folder


def test_uv_is_told_where_each_package_of_the_repository_lies():
    uv = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["uv"]
    names = {project["name"] for project in _PROJECTS.values()}
    assert uv["sources"] == {name: {"workspace": True} for name in names}


def test_uv_installs_any_package_by_subdirectory_and_its_kin_with_it(address, index, venv):
    for folder, project in _PROJECTS.items():
        planned = _run(
            venv, [venv.uv(), "pip", "install", "--dry-run", "--offline", "--no-index",
                   "--find-links", index, "--python", venv.python,
                   f"{address}#subdirectory={folder}"],
        )  # fmt: skip
        for name in _with_kin(project):
            assert f" + {name} @ git+file://" in planned


def test_uv_sync_installs_the_whole_repository(address, index, tmp_path, venv):
    clone = address.removeprefix("git+file://").removesuffix("@main")
    shutil.copytree(clone, tmp_path / "clone", ignore=shutil.ignore_patterns(".git"))
    planned = _run(
        venv, [venv.uv(), "sync", "--all-packages", "--dry-run", "--offline", "--no-index",
               "--find-links", index, "--python", venv.python],
        cwd=tmp_path / "clone",
    )  # fmt: skip
    for project in _PROJECTS.values():
        assert f" + {project['name']} @ file://" in planned
    assert "uv.lock" in (REPOSITORY / ".gitignore").read_text().split()


def test_pip_installs_a_package_by_subdirectory_beside_the_core(address, index, venv):
    folders = ["r2s_core", "r2s_algos/common", "r2s_algos/sac"]
    planned = _run(
        venv, [sys.executable, "-m", "pip", "--python", venv.python, "install", "--dry-run",
               "--no-index", "--find-links", index, "--no-build-isolation", "--ignore-installed",
               *(f"{address}#subdirectory={folder}" for folder in folders)],
    )  # fmt: skip
    (would,) = (line for line in planned.splitlines() if line.startswith("Would install"))
    assert {"r2s-core-0.1.0", "r2s-algos-sac-0.1.0", "jax-9999.0"} <= set(would.split())


def _with_kin(project: dict) -> set[str]:
    """A package's name and those of all of ours that it depends on."""
    by_name = {other["name"]: other for other in _PROJECTS.values()}
    found, left = set(), [project["name"]]
    while left:
        if (name := left.pop()) in by_name and name not in found:
            found.add(name)
            left += [dependency.split(">=")[0] for dependency in by_name[name]["dependencies"]]
    return found


def _run(venv, command: list[str | Path], cwd: Path | None = None) -> str:
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_FIND_LINKS")
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    env |= {"UV_NO_CONFIG": "1", "UV_CACHE_DIR": str(venv.bin / "uv-cache")}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
