"""A failure in other people's code is told as theirs, with its place."""

import errno
import importlib.util
import os
import signal

import pytest

from r2s_core import device
from r2s_core.errors import R2SError
from r2s_core.system.foreign import ForeignError, MachineError, calling


@pytest.fixture
def theirs(tmp_path):
    """`theirs(body)`: a function from a file of the user's, with that body on its second line."""

    def make(body):
        path = tmp_path / "mine.py"
        path.write_text(f"def mine():\n    {body}\n")
        spec = importlib.util.spec_from_file_location("mine", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.mine

    return make


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import json; json.loads('{')", "JSONDecodeError: Expecting property name"),
        ("import jax.numpy as jnp; jnp.zeros(3) + jnp.zeros(4)", "TypeError: add got incompatible"),
        ("import sys; sys.exit()", "it called sys.exit()"),
        ("import sys; sys.exit('bye')", "it called sys.exit('bye')"),
        ("raise KeyboardInterrupt", "it raised KeyboardInterrupt"),
        ("raise StopIteration", "StopIteration"),
        ("assert False", "AssertionError"),
    ],
)
def test_whatever_is_raised_names_whose_it_is_where_and_what(theirs, body, cause):
    function = theirs(body)
    with pytest.raises(ForeignError) as caught, calling("reward 'slow'", function):
        function()
    message = str(caught.value)
    assert "reward 'slow' failed at " in message
    assert f"mine.py:2 (mine): {cause}" in message
    assert "reinstall" not in message
    assert "\n" not in message


def test_a_signal_interrupts_as_ever(theirs):
    function = theirs("import os, signal; os.kill(os.getpid(), signal.SIGINT); exec('pass')")
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), calling("hook 'slow'", function):
            function()
    finally:
        signal.signal(signal.SIGINT, previous)


def test_what_is_nobodys_fault_or_told_already_passes_unchanged(theirs):
    for error in (R2SError("no mesh"), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))):
        with pytest.raises(type(error)) as caught, calling("hook 'csv'"):
            raise error
        assert caught.value is error


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes")]
)
def test_too_little_memory_is_the_machines(error):
    with (
        pytest.raises(MachineError, match="environment 'x': there is not enough memory"),
        calling("environment 'x'"),
    ):
        raise error


def test_what_it_prints_does_not_reach_stdout(theirs, capsys):
    with calling("reward 'x'"):
        theirs("print('hello')")()
    assert capsys.readouterr() == ("", "hello\n")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RuntimeError("Unable to initialize backend 'tpu': no."), "cannot start the device that"),
        (
            AssertionError(),
            "JAX_PLATFORMS=cuda selects; unset JAX_PLATFORMS",
        ),  # as JAX 0.10 has it
    ],
)
def test_a_device_that_is_not_there_is_the_machines(monkeypatch, error, sentence):
    def no_devices():
        raise AssertionError

    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.setattr("jax.devices", no_devices)  # JAX_PLATFORMS is read but once
    with pytest.raises(MachineError) as caught, calling("environment 'x'"):
        raise error
    assert sentence in str(caught.value)
    with pytest.raises(MachineError):
        device.select_device(None)


def test_an_assertion_of_theirs_is_not_the_machines():
    with pytest.raises(ForeignError, match="AssertionError"), calling("environment 'x'"):
        raise AssertionError
