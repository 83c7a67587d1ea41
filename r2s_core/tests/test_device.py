"""The backend and the device follow the machine, and say so where they cannot."""

import jax
import pytest

from r2s_core import device
from r2s_core.config import load_mapping

POINTS = {"r2s.environments": {"still": "still_plugin:PLUGIN"}}


@pytest.fixture
def config(install, manifest):
    install("still-task", POINTS, {"still_plugin": manifest("still", "environment")})

    def make(**values):
        return load_mapping({"environment": {"use": "still"}, "algorithm": "ppo", **values})

    return make


@pytest.mark.parametrize(("gpu", "backend"), [(True, "warp"), (False, "mujoco")])
def test_auto_takes_warp_where_jax_sees_an_nvidia_gpu(config, monkeypatch, gpu, backend):
    monkeypatch.setattr(device, "has_nvidia_gpu", lambda: gpu)
    resolved = device.resolve_backend(config(backend="auto"))
    assert resolved.backend.use == backend
    assert resolved.backend.options is not None
    assert load_mapping(resolved.resolved()).backend == resolved.backend


def test_a_named_backend_stays(config, monkeypatch):
    monkeypatch.setattr(device, "has_nvidia_gpu", lambda: True)
    assert device.resolve_backend(config(backend="mjx")).backend.use == "mjx"


def test_double_precision_is_turned_off_with_one_line():
    before = jax.config.read("jax_enable_x64")
    jax.config.update("jax_enable_x64", True)
    try:
        assert device.select_device(None) == ["JAX_ENABLE_X64 is ignored: r2s computes in 32 bits."]
        assert not jax.config.read("jax_enable_x64")
        assert device.select_device(None) == []
    finally:
        jax.config.update("jax_enable_x64", before)


def test_a_gpu_that_is_not_there_is_one_line_and_no_error(monkeypatch):
    monkeypatch.setattr(device, "has_gpu", lambda: False)
    monkeypatch.setattr(device, "has_nvidia_driver", lambda: False)
    [line] = device.select_device(True)
    assert "no GPU was found" in line
    assert "CPU" in line
    assert device.select_device(None) == []


def test_a_gpu_that_jax_cannot_use_says_what_to_install(monkeypatch):
    monkeypatch.setattr(device, "has_gpu", lambda: False)
    monkeypatch.setattr(device, "has_nvidia_driver", lambda: True)
    [line] = device.select_device(True)
    assert "pip install 'jax[cuda" in line


def test_the_machine_is_described():
    facts = device.hardware()
    assert facts["cpu_cores"] >= 1
    assert facts["jax_devices"]
    versions = device.versions("r2s-core", "no-such-package")
    assert "jax" in versions
    assert "no-such-package" not in versions
