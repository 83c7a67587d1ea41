"""A MUJOCO_GL that fits no library of this machine is dropped before MuJoCo is imported."""

import ctypes.util
import os
import subprocess
import sys

import pytest

from r2s_core.rendering import gl_environment


@pytest.fixture
def settle(monkeypatch):
    """`settle(**environment)`: what it says, and what the environment is then."""

    def call(**environment):
        for name in ("MUJOCO_GL", "PYOPENGL_PLATFORM", gl_environment.PROBING):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delitem(sys.modules, "mujoco", raising=False)
        gl_environment.settle()
        return {n: os.environ.get(n) for n in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes.util, "find_library", {"EGL": "libEGL.so.1"}.get)
    return call


def test_a_name_that_mujoco_does_not_know_is_dropped_with_one_line(settle, capsys):
    assert settle(MUJOCO_GL="bogus")["MUJOCO_GL"] is None
    assert capsys.readouterr().err == (
        "r2s: MUJOCO_GL=bogus is ignored: MuJoCo supports glfw, glx, egl, osmesa on this platform\n"
    )


def test_an_interface_without_its_library_is_dropped_with_the_package_to_install(settle, capsys):
    assert settle(MUJOCO_GL="osmesa")["MUJOCO_GL"] is None
    assert "apt-get install libosmesa6" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["egl", "glfw", "off", "EGL ", ""])
def test_what_works_stays(settle, value, capsys):
    assert settle(MUJOCO_GL=value)["MUJOCO_GL"] == value
    assert capsys.readouterr().err == ""


def test_two_variables_that_contradict_each_other_are_settled(settle, capsys):
    found = settle(MUJOCO_GL="egl", PYOPENGL_PLATFORM="osmesa")
    assert found == {"MUJOCO_GL": "egl", "PYOPENGL_PLATFORM": None}
    assert "PYOPENGL_PLATFORM is ignored" in capsys.readouterr().err


def test_a_process_that_tries_an_interface_out_keeps_it(settle):
    assert settle(MUJOCO_GL="bogus", R2S_PROBES_GL="1")["MUJOCO_GL"] == "bogus"


def test_importing_r2s_first_lets_mujoco_be_imported(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "bogus")
    code = "import r2s_core, mujoco; print(mujoco.mj_versionString())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 1
