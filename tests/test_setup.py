"""scripts/setup.sh makes .venv once, and anew where it was copied to (with a pretended Python)."""

import os
import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

_PYTHON = """\
#!/bin/sh
if [ "$2" = venv ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi
exit 0
"""


def test_a_copied_clone_gets_a_venv_of_its_own(tmp_path):
    """The scripts in a copied .venv (pip, pytest, r2s) would run in the folder it came from."""
    python = tmp_path / "python"
    python.write_text(_PYTHON)
    python.chmod(0o755)
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "scripts").mkdir(parents=True)
    shutil.copy(REPOSITORY / "scripts/setup.sh", first / "scripts")
    shutil.copy(REPOSITORY / "constraints.txt", first)
    assert "making .venv" in _setup(first, python)
    assert _setup(first, python) == ""
    (first / ".venv/from-first").touch()
    shutil.copytree(first, second)
    assert "making .venv" in _setup(second, python)
    assert not (second / ".venv/from-first").exists()
    assert (first / ".venv/from-first").exists()
    assert _setup(second, python) == ""


def test_it_does_not_make_a_venv_with_the_python_of_the_one_that_it_replaces(tmp_path):
    """Which an activated shell has first on its PATH."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(REPOSITORY / "scripts/setup.sh", tmp_path / "scripts")
    shutil.copy(REPOSITORY / "constraints.txt", tmp_path)
    for folder in (old := tmp_path / ".venv/bin", other := tmp_path / "other"):
        folder.mkdir(parents=True)
        (folder / "python3").write_text(_PYTHON)
        (folder / "python3").chmod(0o755)
    said = _setup(tmp_path, path=f"{old}:{other}:{os.environ['PATH']}")
    assert "making .venv" in said
    assert str(other / "python3") in said


def _setup(clone: Path, python: Path | None = None, path: str = os.environ["PATH"]) -> str:
    """What it says."""
    done = subprocess.run(
        [clone / "scripts/setup.sh"],
        env=os.environ | {"PATH": path} | ({"PYTHON": str(python)} if python else {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr
