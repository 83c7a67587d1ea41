"""What a Linux machine can tell of macOS and Windows: imports, processes without fork, refusals."""

import os
import subprocess
import sys

import pytest

from r2s_core.cli import main

_IMPORT_ALL = """
import importlib, os, pkgutil, signal, sys

UNIX_MODULES = ("fcntl", "grp", "pwd", "pty", "resource", "termios")  # Windows has none of these

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in UNIX_MODULES:
            raise ImportError(f"no module named {name} (as on Windows)")

for name in UNIX_MODULES:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Missing())
for name in ("fork", "forkpty", "getuid", "killpg", "sched_getaffinity", "O_NOFOLLOW", "O_NONBLOCK",
             "O_DIRECTORY", "register_at_fork"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGHUP", "SIGKILL", "SIGALRM", "SIGXCPU", "SIGPIPE", "alarm", "setitimer",
             "pthread_sigmask"):
    if hasattr(signal, name):
        delattr(signal, name)
failed = []
for top in sys.argv[1:]:
    package = importlib.import_module(top)
    for found in pkgutil.walk_packages(package.__path__, f"{top}."):
        if "._template" in found.name or found.name.endswith(".__main__"):
            continue
        try:
            importlib.import_module(found.name)
        except Exception as error:
            failed.append(f"{found.name}: {error!r}")
print("\\n".join(failed))
"""
_PACKAGES = (
    "r2s_core", "r2s_algos_common", "r2s_algos_ppo", "r2s_algos_sac", "r2s_algos_ddpg",
    "r2s_algos_bc", "r2s_envs_objects", "r2s_envs_pick_place", "r2s_envs_robots",
    "r2s_randomization_objects", "r2s_randomization_physics", "r2s_randomization_sensor",
    "r2s_randomization_visual", "r2s_rewards_example", "r2s_lerobot",
    "r2s_deploy", "r2s_export", "r2s_identify",
)  # fmt: skip


def test_every_module_imports_where_unix_modules_are_missing():
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL, *_PACKAGES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("command", ["run", "eval", "compare", "object", "scene", "doctor"])
def test_what_windows_cannot_do_is_refused_by_name(command, monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    assert main([command]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"`r2s {command}` runs on Linux and macOS, not on Windows itself")
    assert "WSL 2" in line


def test_without_docstrings_it_says_so_instead_of_failing_in_a_package():
    r2s = [sys.executable, "-OO", "-c", "from r2s_core.cli import program; program()"]
    done = subprocess.run([*r2s, "run", "x.yaml"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("`r2s run` needs packages that read their own docstrings")
    listed = subprocess.run([*r2s, "plugins"], capture_output=True, text=True, check=False)
    assert (listed.returncode, listed.stderr) == (0, "")


def test_warnings_of_packages_are_no_errors():
    code = """import sys, r2s_core.cli as cli
def main():
    import warnings, subprocess, flax, distrax, trimesh
    warnings.warn("one of a user's own")
    warn = "import warnings; warnings.warn('a package in a child')"
    return subprocess.run([sys.executable, "-c", warn]).returncode
cli.main = main
cli.program()"""
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.startswith("PYTHONWARNINGS=error is ignored: packages that r2s imports warn")
    assert "UserWarning: one of a user's own" in done.stderr


def test_configurations_are_checked_on_windows_too(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "platform", "win32")
    (tmp_path / "x.yaml").write_text("sede: 3\n")
    assert main(["validate", str(tmp_path / "x.yaml")]) == 2
    assert "did you mean seed?" in capsys.readouterr().err
