"""The package stands alone: what it may import, and what it does where OpenCV is missing."""

from __future__ import annotations

import subprocess
import sys

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
    if not found.name.endswith(("__main__", "simulated.server")):  # which is the simulator
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
