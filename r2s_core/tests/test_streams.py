"""A reader that goes away, and a parent that does: the work goes on, or ends with its parent."""

import os
import signal
import subprocess
import sys
import time

import pytest

from r2s_core.system.streams import lasting_streams

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX pipes and signals")

_WRITES = """
import os, sys
from rich.console import Console
from r2s_core.system.streams import lasting_streams
with lasting_streams():
    console = Console(stderr=True)
    for i in range(200_000 if sys.argv[1] == "head" else 10):
        print("line", i)
        console.print("progress", i) if i < 2000 else None
    os.write(2, b"from a C library")
    open(sys.argv[2], "w").write(f"done, {sys.stdout.encoding}")
print("and after", flush=True)
"""


@posix
@pytest.mark.parametrize("sink", ["head", "full"])
def test_a_screen_that_goes_away_ends_nothing(tmp_path, sink):
    done = tmp_path / "done"
    into = "2>&1 | head -2" if sink == "head" else "> /dev/full 2>&1"
    if sink == "full" and not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    command = f'"{sys.executable}" -c "$CODE" {sink} "{done}" {into}; exit "${{PIPESTATUS[0]}}"'
    env = {**os.environ, "CODE": _WRITES}
    ended = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert done.read_text().startswith("done, ")
    assert "Traceback" not in ended.stdout + ended.stderr


@posix
def test_a_process_that_was_started_without_streams_works_to_its_end(tmp_path):
    """And no file of ours becomes stderr to C libraries."""
    done = tmp_path / "done"
    code = f"""
import os
from r2s_core.system.streams import lasting_streams, open_standard_streams
open_standard_streams()
with lasting_streams(), open({str(done)!r}, "w") as file:
    print("line")
    assert file.fileno() > 2
    os.write(2, b"from a C library")
    file.write("done")
"""
    command = [sys.executable, "-c", code]
    shell = ["bash", "-c", '"$@" 0<&- 1>&- 2>&-', "-", *command]
    assert subprocess.run(shell).returncode == 0
    assert done.read_text() == "done"


def test_streams_that_are_none_are_left_so(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with lasting_streams():
        print("line", file=sys.stderr)
    assert sys.stderr is None


_CHILD = """
import sys, time
from r2s_core.system.signals import Ended, stop_with_parent, tidy_end
stop_with_parent()
try:
    with tidy_end():
        print("ready", flush=True)
        time.sleep(60)
except Ended as stopped:
    print("stopped", stopped.exit_code, flush=True)
"""
_PARENT = """
import os, subprocess, sys, time
from r2s_core.system.signals import STOP_WITH_PARENT
subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE,
                 start_new_session=True, env={**os.environ, STOP_WITH_PARENT: "1"})
time.sleep(60)
"""


@posix
def test_a_run_ends_with_a_comparison_that_is_killed():
    command = [sys.executable, "-c", _PARENT, _CHILD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        began = time.monotonic()
        parent.send_signal(signal.SIGKILL)
        assert parent.stdout.readline() == f"stopped {128 + signal.SIGTERM}\n"
        assert time.monotonic() - began < 20


@posix
def test_a_deleted_working_directory_is_one_sentence(tmp_path):
    command = f'cd "{tmp_path}" && mkdir x && cd x && rmdir ../x && "{sys.executable}" -m r2s_core'
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr == "the working directory no longer exists; cd to another\n"
