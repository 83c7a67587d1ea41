"""Hooks hear what happens, can stop a run, and are blamed by name; the loggers survive a kill."""

import csv
import errno
import sys

import pytest

from r2s_core.config import Use
from r2s_core.errors import PluginError
from r2s_core.hooks import HookError, Hooks, hookimpl
from r2s_core.loggers.csv_file import CsvLogger
from r2s_core.loggers.plugin import CsvConfig, TensorBoardConfig


class Listener:
    """Notes what it hears; `answer` is what it says to metrics."""

    def __init__(self, answer=None, error=None):
        self.heard, self.answer, self.error = [], answer, error

    @hookimpl
    def r2s_metrics(self, metrics):
        self.heard.append(metrics)
        if self.error:
            raise self.error
        return self.answer

    @hookimpl
    def r2s_run_end(self, result):
        self.heard.append(result)


@pytest.fixture
def hooks(monkeypatch, tmp_path):
    """`hooks(name=listener, ...)`: the hooks of a run, made of the given objects."""

    def make(**listeners):
        monkeypatch.setattr(
            "r2s_core.registry.build", lambda kind, use, options, run_dir: listeners[use]
        )
        return Hooks({name: Use(name, None) for name in listeners}, tmp_path)

    return make


def test_every_hook_hears_and_one_may_stop_the_run(hooks):
    quiet, stopper = Listener(), Listener(answer=True)
    assert hooks(a=quiet).metrics(1, {"loss": 1.0}) is False
    assert hooks(a=quiet, b=stopper).metrics(2, {"loss": 0.5}) is True
    assert quiet.heard == [{"loss": 1.0}, {"loss": 0.5}]
    assert stopper.heard == [{"loss": 0.5}]


def test_a_failing_hook_is_named_among_others(hooks):
    class Bad:
        @hookimpl
        def r2s_metrics(self, step):
            raise ValueError("no disk")

    with pytest.raises(HookError, match="hook 'bad' failed in r2s_metrics: ValueError: no disk"):
        hooks(first=Listener(), bad=Bad(), last=Listener()).metrics(1, {})


def test_a_full_disk_is_not_the_hooks_fault(hooks):
    run = hooks(a=Listener(error=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space left") as caught:
        run.metrics(1, {})
    assert not isinstance(caught.value, HookError)


def test_listening_to_something_that_does_not_exist_is_refused(hooks):
    class Misspelt:
        @hookimpl
        def r2s_metric(self, step):
            """There is no such hook."""

    with pytest.raises(PluginError, match=r"hook 'typo'.*r2s_metric"):
        hooks(typo=Misspelt())


def _rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_a_row_per_step_and_a_new_metric_gets_a_column(tmp_path):
    logger = CsvLogger(tmp_path / "metrics.csv")
    logger.r2s_run_start(step=0)
    logger.r2s_metrics(step=10, metrics={"loss": 0.5})
    logger.r2s_metrics(step=20, metrics={"loss": 0.25, "success": 1.0})
    logger.r2s_metrics(step=30, metrics={"success": 0.5})
    assert _rows(logger.path) == [
        {"step": "10", "loss": "0.5", "success": ""},
        {"step": "20", "loss": "0.25", "success": "1"},
        {"step": "30", "loss": "", "success": "0.5"},
    ]


def test_csv_on_resume_drops_rows_after_the_resumed_step_and_a_torn_line(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\n10,1\n20,2\n30,3\n40,")
    logger = CsvLogger(path)
    logger.r2s_run_start(step=20)
    logger.r2s_metrics(step=30, metrics={"loss": 5.0})
    assert [(row["step"], row["loss"]) for row in _rows(path)] == [
        ("10", "1"),
        ("20", "2"),
        ("30", "5"),
    ]


def test_csv_of_a_fresh_run_starts_empty(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,old\n10,1\n")
    logger = CsvLogger(path)
    logger.r2s_run_start(step=0)
    logger.r2s_metrics(step=5, metrics={"loss": 1.0})
    assert _rows(path) == [{"step": "5", "loss": "1"}]


def test_both_loggers_come_by_name_and_write(tmp_path):
    from tensorboardX.proto.event_pb2 import Event  # pyright: ignore  (generated when imported)

    uses = {"csv": Use("csv", CsvConfig()), "tb": Use("tensorboard", TensorBoardConfig())}
    run = Hooks(uses, tmp_path)
    run.run_start(None, tmp_path, 0)  # type: ignore[arg-type]
    run.metrics(64, {"loss": 0.5})
    run.checkpoint(tmp_path, 64)
    run.run_end({})
    assert _rows(tmp_path / "metrics.csv")[0]["loss"] == "0.5"
    events = [
        event for event in _read_events(tmp_path / "tensorboard", Event) if event.summary.value
    ]
    assert [(event.step, event.summary.value[0].tag) for event in events] == [(64, "loss")]


def _read_events(folder, event_type):
    """TensorBoard's record format: length, its checksum, the event, its checksum."""
    (file,) = folder.iterdir()
    data, events = file.read_bytes(), []
    while data:
        size = int.from_bytes(data[:8], "little")
        events.append(event_type.FromString(data[12 : 12 + size]))
        data = data[16 + size :]
    return events


def test_tensorboard_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(PluginError, match=r"pip install 'r2s-core\[tensorboard\]'"):
        Hooks({"tb": Use("tensorboard", TensorBoardConfig())}, tmp_path)
