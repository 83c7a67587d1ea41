"""The package stands alone: what it may import, and what it does where OpenCV is missing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

_BLOCK = """
import importlib, importlib.abc, pkgutil, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r} (blocked)", name=name)

sys.meta_path.insert(0, Blocked())
"""
#: Of r2s and what it stands on.
_NOT_OURS = ("r2s", "r2s_core", "r2s_envs_robots", "r2s_envs_pick_place", "jax", "jaxlib", "mujoco",
             "scipy", "yaml", "rich", "flax", "onnx")  # fmt: skip


def _run(blocked: tuple[str, ...], code: str) -> str:
    script = f"BLOCKED = {blocked!r}\n{_BLOCK}\n{code}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_imports_without_r2s_jax_and_mujoco():
    imported = _run(
        _NOT_OURS,
        """
import r2s_deploy
for found in pkgutil.walk_packages(r2s_deploy.__path__, "r2s_deploy."):
    if not found.name.endswith(("__main__", "simulated.server", "simulated.sight")):
        importlib.import_module(found.name)
        print(found.name)
""",
    ).split()
    assert "r2s_deploy.pose.source" in imported


def test_the_block_blocks():
    with pytest.raises(AssertionError, match="No module named 'mujoco'"):
        _run(_NOT_OURS, "import mujoco")


def test_a_pose_entered_by_hand_needs_no_opencv():
    told = _run(
        (*_NOT_OURS, "cv2"),
        "from r2s_deploy.pose import ManualPose\nprint(ManualPose((1, 2, 3)).pose().position)",
    )
    assert told == "[1. 2. 3.]\n"


def test_what_sees_says_what_to_install():
    told = _run(
        (*_NOT_OURS, "cv2"),
        """
from r2s_deploy.errors import DeployError
for name in ("pose.sight", "webcam"):
    try:
        importlib.import_module(f"r2s_deploy.{name}")
    except DeployError as error:
        print(error)
""",
    ).splitlines()
    assert told[0].startswith("seeing tags needs OpenCV: install r2s-deploy with the extra `tags`")
    assert told[1].startswith("a webcam needs OpenCV: install r2s-deploy with the extra `tags`")

    start = "import runpy\nrunpy.run_module('r2s_deploy.pose', run_name='__main__')"
    script = f"BLOCKED = ('cv2',)\n{_BLOCK}\n{start}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: seeing tags needs OpenCV")


@pytest.mark.parametrize(
    ("blocked", "module", "says"),
    [
        ("mcap", "mcap_log", "reading MCAP files needs the library mcap: install r2s-deploy with "),
        ("mcap_ros2", "mcap_log", "reading MCAP files needs the library mcap_ros2: install r2s-d"),
        ("cv2", "video", "reading the images of a data set needs OpenCV: install r2s-deploy with"),
        ("pyarrow", "lerobot", "reading LeRobot data sets needs pyarrow: install r2s-deploy with"),
    ],
)
def test_what_reads_recordings_says_what_to_install(blocked, module, says):
    told = _run(
        (*_NOT_OURS, blocked),
        f"""
from r2s_deploy.errors import DeployError
import r2s_deploy.recorded.read
try:
    import r2s_deploy.recorded.{module}
except DeployError as error:
    print(error)
""",
    )
    assert told.startswith(says)


_PYTHON = re.findall(
    r"^```python\n(.*?)^```",
    (Path(__file__).parents[1] / "README.md").read_text(),
    flags=re.DOTALL | re.MULTILINE,
)


def test_the_snippets_of_the_readme_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for snippet in _PYTHON:
        exec(compile(snippet, "README.md", "exec"), names)
    assert len(_PYTHON) >= 3
    assert "no pose: tag 3 not found in the image" in capsys.readouterr().out
