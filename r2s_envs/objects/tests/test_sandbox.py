"""A file that crashes, hangs or devours memory costs the user one sentence and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from r2s_core.errors import AssetError, R2SError
from r2s_envs_objects import ObjectOptions, load_object
from r2s_envs_objects.guard import sandbox

pytestmark = pytest.mark.usefixtures("own_cache")

HOSTILE = """
import os, signal, subprocess, sys, time
import numpy as np

def echo(data, times):
    return {"length": np.array(len(data) * times)}

def crash(data):
    os.kill(os.getpid(), signal.SIGSEGV)

def hang(data, mark):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(5); open(%r, 'w')" % mark])
    time.sleep(100)

def sleep(data, mark):
    child = subprocess.Popen(["sleep", "60"])
    with open(mark + "_", "w") as file:
        print(os.getpid(), child.pid, file=file)
    os.rename(mark + "_", mark)
    time.sleep(60)

def fill(data):
    raise OSError(28, "No space left on device")

def devour(data):
    return {"much": np.ones(2**31)}

def trip(data):
    print("noise that is no answer", flush=True)
    return {"x": np.array(1 // 0)}
"""

posix = pytest.mark.skipif(sys.platform == "win32", reason="limits need POSIX")


@pytest.fixture
def call(tmp_path, monkeypatch):
    """call(name, data, **arguments) of the hostile module, which only new workers can import."""
    (tmp_path / "r2s_hostile.py").write_text(HOSTILE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(sandbox, "_idle", [])
    yield lambda name, data=b"", **kw: sandbox.call(f"r2s_hostile:{name}", data, kw, "scan.stl")
    for worker in sandbox._idle:
        worker.end()


@posix
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("crash", "the process that read it was ended by SIGSEGV"),
        ("devour", "needs more than 1.3 GB of memory"),
        ("trip", r"ZeroDivisionError: .*, in r2s_hostile\.py:\d+"),
    ],
)
def test_failures_are_one_sentence_and_the_worker_lives_on(call, name, why):
    with pytest.raises(AssetError, match=f"^scan.stl: .*{why}") as error:
        call(name)
    assert "\n" not in str(error.value)
    (worker,) = sandbox._idle
    assert call("echo", b"abc", times=2)["length"] == 6
    assert sandbox._idle == [worker]


@posix
def test_a_hang_is_ended_with_all_that_it_started(call, monkeypatch, tmp_path):
    call("echo", times=1)
    monkeypatch.setattr(sandbox, "SECONDS", 1.0)
    monkeypatch.setattr(sandbox, "patience", lambda seconds: seconds)
    mark = tmp_path / "grandchild"
    start = time.monotonic()
    with pytest.raises(AssetError, match="took more than 1 s"):
        call("hang", mark=str(mark))
    assert time.monotonic() - start < 4.0
    time.sleep(5.5 - (time.monotonic() - start))
    assert not mark.exists()
    monkeypatch.setattr(sandbox, "SECONDS", 30.0)
    assert call("echo", b"a", times=1)["length"] == 1


def wait_until(holds, seconds=20.0):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


@posix
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_whoever_asked_may_be_killed_and_leaves_nothing(tmp_path, monkeypatch, signum):
    """Neither a process at work nor a temporary folder."""
    (tmp_path / "r2s_hostile.py").write_text(HOSTILE)
    (tmp_path / "tmp").mkdir()
    code = (
        "from r2s_core.system.signals import tidy_end; from r2s_envs_objects.guard import sandbox\n"
        "with tidy_end(): sandbox.call('r2s_hostile:sleep', b'', {'mark': 'started'}, 'scan.stl')"
    )
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    asking = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    wait_until((tmp_path / "started").exists)
    working, started = (int(pid) for pid in (tmp_path / "started").read_text().split())
    asking.send_signal(signum)
    asking.wait(20)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in (working, started)))
    wait_until(lambda: not any((tmp_path / "tmp").iterdir()))


@posix
def test_an_idle_worker_that_ends_is_no_zombie(call):
    call("echo", times=1)
    process = sandbox._idle[0].process
    os.kill(process.pid, signal.SIGALRM)  # as after a minute without work
    wait_until(lambda: process.returncode is not None)


@posix
def test_a_full_temporary_folder_is_not_the_scans_fault(call):
    with pytest.raises(R2SError, match=r"temporary folder .* is full") as error:
        call("fill")
    assert not isinstance(error.value, AssetError)


@posix
def test_a_worker_that_went_away_is_replaced(call):
    call("echo", times=1)
    sandbox._idle[0].process.kill()
    assert call("echo", b"ab", times=1)["length"] == 2


def test_threads_do_not_wait_for_one_another_nor_mix_answers(call):
    answers = {}

    def work(n):
        answers[n] = int(call("echo", b"x" * 100_000, times=n)["length"])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: 100_000 * n for n in range(1, 4)}


def test_a_script_without_a_main_guard_may_load_objects(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from r2s_envs_objects import load_object\nprint(load_object('sample:bottle').mass)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert 0.03 < float(done.stdout) < 0.08
    assert done.stderr == ""


def test_the_cached_path_needs_no_worker_and_nothing_heavy(box, save):
    path = save(box)
    load_object(path, ObjectOptions())
    code = (
        f"import sys; from r2s_envs_objects import load_object; load_object({str(path)!r});"
        "from r2s_envs_objects.guard import sandbox; assert not sandbox._idle;"
        # Not mujoco: the gripper is a robot's, whose module builds models.
        "assert not {'trimesh', 'coacd', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@posix
def test_a_soup_of_triangles_is_refused_soon(tmp_path):
    """300,000 random triangles, each a part of its own."""
    triangles = 300_000
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("flags", "<u2")])
    soup = np.zeros(triangles, record)
    soup["corners"] = np.random.default_rng(0).random((triangles, 3, 3), np.float32) * 0.1
    path = tmp_path / "soup.stl"
    path.write_bytes(b"\0" * 80 + np.uint32(triangles).tobytes() + soup.tobytes())
    with pytest.raises(AssetError, match=r"soup\.stl: one object scanned twice|several objects"):
        load_object(path)
