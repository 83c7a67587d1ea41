"""Hooks hear what happens, can stop a run, and are blamed by name; the loggers survive a kill."""

import csv
import errno
import sys

import pytest

from r2s_core import registry
from r2s_core.config import Use
from r2s_core.errors import ConfigError, PluginError
from r2s_core.hooks import Hooks, hookimpl
from r2s_core.loggers.csv_file import CsvLogger
from r2s_core.loggers.plugin import CsvConfig, TensorBoardConfig
from r2s_core.system.foreign import ForeignError
from r2s_core.testing import check_hook


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
def told():
    """The lines that a user reads."""
    return []


@pytest.fixture
def hooks(monkeypatch, tmp_path, told):
    """`hooks(name=listener, ...)`: the hooks of a run, made of the given objects."""

    def make(**listeners):
        monkeypatch.setattr(
            "r2s_core.registry.build", lambda kind, use, options, run_dir: listeners[use]
        )
        return Hooks({name: Use(name, None) for name in listeners}, tmp_path, told.append)

    return make


def test_every_hook_hears_and_one_may_stop_the_run(hooks):
    quiet, stopper = Listener(), Listener(answer=True)
    assert hooks(a=quiet).metrics(1, {"loss": 1.0}) is False
    assert hooks(a=quiet, b=stopper).metrics(2, {"loss": 0.5}) is True
    assert quiet.heard == [{"loss": 1.0}, {"loss": 0.5}]
    assert stopper.heard == [{"loss": 0.5}]


class Bad:
    """Fails each time."""

    failure_is_fatal = False

    def __init__(self, error):
        self.error = error

    @hookimpl
    def r2s_metrics(self, step):
        raise self.error

    @hookimpl
    def r2s_run_end(self):
        raise self.error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ValueError("no disk"), "ValueError: no disk"),
        (BrokenPipeError(32, "Broken pipe"), "BrokenPipeError: [Errno 32] Broken pipe"),
        (SystemExit(0), "it called sys.exit(0)"),
        (KeyboardInterrupt(), "it raised KeyboardInterrupt"),
        (PluginError("the token has expired"), "the token has expired"),
    ],
)
def test_a_failing_hook_is_told_once_and_counted_and_neither_the_run_nor_others_end(
    hooks, told, error, cause
):
    first, last = Listener(), Listener(answer=True)
    run = hooks(first=first, bad=Bad(error), last=last)
    assert run.metrics(1, {"loss": 1.0}) is True
    assert run.metrics(2, {"loss": 0.5}) is True
    run.run_end({})
    assert first.heard == last.heard == [{"loss": 1.0}, {"loss": 0.5}, {}]
    assert len(told) == 2
    assert cause in told[0]
    assert isinstance(error, PluginError) or "hook 'bad' failed at " in told[0]
    assert told[0].endswith("; the run continues without it (reported once)")
    assert told[1] == "hook 'bad' failed 3 times in all"


def test_a_hook_may_say_that_its_failure_is_fatal(hooks, told):
    bad = Bad(ValueError("no disk"))
    bad.failure_is_fatal = True
    with pytest.raises(ForeignError, match=r"hook 'bad' failed at .*: ValueError: no disk"):
        hooks(bad=bad).metrics(1, {})
    assert told == []


def test_what_a_hook_does_to_its_arguments_is_its_own_affair(hooks, told):
    class Greedy:
        @hookimpl
        def r2s_metrics(self, metrics):
            metrics.clear()

        @hookimpl
        def r2s_run_end(self, result):
            result["objects"].clear()

    metrics, result, later = {"loss": 1.0}, {"objects": [1, 2]}, Listener()
    run = hooks(greedy=Greedy(), later=later)
    run.metrics(1, metrics)
    run.run_end(result)
    assert later.heard == [{"loss": 1.0}, {"objects": [1, 2]}]
    assert (metrics, result, told) == ({"loss": 1.0}, {"objects": [1, 2]}, [])


@pytest.mark.parametrize("hook", [None, 3, object()])
def test_a_hook_that_listens_to_nothing_is_refused(hooks, hook):
    with pytest.raises(PluginError, match="hook 'deaf' listens to nothing"):
        hooks(deaf=hook)


def test_a_full_disk_is_not_the_hooks_fault(hooks):
    run = hooks(a=Listener(error=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        run.metrics(1, {})


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


def test_a_metric_that_is_called_step_does_not_take_the_steps_place(tmp_path):
    logger = CsvLogger(tmp_path / "metrics.csv")
    logger.r2s_run_start(step=0)
    logger.r2s_metrics(step=10, metrics={"step": 0.5, "loss": 1.0})
    assert _rows(logger.path) == [{"step": "10", "loss": "1"}]


@pytest.mark.parametrize(
    ("damaged", "steps"),
    [
        ("step,loss\n10,1\n20,2\n2", ["10", "20"]),
        ("step,loss\n10,1\n\x00\xff\n20,2\n", ["10", "20"]),
        ('step,loss\n10,1\n"15,3\n20,2\n', ["10", "20"]),
        ("step,loss\n\u00b2,1\n20,2\n1.5,2\n-1,3\n" + "9" * 5000 + ",1\n", ["20"]),
        ("step,loss,extra\n10,1\n20,2,3\n", ["20"]),
        ("loss,step\n1,10\n", []),
        ("step,step\n1,10\n", []),
        ("", []),
        ('"step\n10,1\n', []),
        ("\x00" * 100, []),
    ],
)
def test_a_damaged_csv_blocks_no_resume(tmp_path, damaged, steps):
    logger = CsvLogger(tmp_path / "metrics.csv")
    logger.path.write_bytes(damaged.encode("latin-1") if "\xff" in damaged else damaged.encode())
    logger.r2s_run_start(step=20)
    logger.r2s_metrics(step=30, metrics={"loss": 5.0})
    assert [row["step"] for row in _rows(logger.path)] == [*steps, "30"]
    kept = tmp_path / "metrics-damaged.csv"
    assert steps or kept.read_bytes() == damaged.encode()


@pytest.mark.parametrize("name", ["../x.csv", "/tmp/x.csv", "a/../../x.csv", "", ".."])
def test_a_logger_writes_within_the_runs_folder_only(tmp_path, name):
    from r2s_core.loggers import csv_file, tensorboard

    run_dir = tmp_path / "run"
    with pytest.raises(ConfigError, match=r"hooks\.csv\.file is .* not within"):
        csv_file.make(CsvConfig(file=name), run_dir)
    with pytest.raises(ConfigError, match=r"hooks\.tensorboard\.folder is .* not within"):
        tensorboard.make(TensorBoardConfig(folder=name), run_dir)


def test_a_logger_follows_no_link(tmp_path):
    from r2s_core.loggers import tensorboard

    (tmp_path / "precious").write_text("mine")
    logger = CsvLogger(tmp_path / "metrics.csv")
    logger.path.symlink_to("precious")
    logger.r2s_run_start(step=0)
    logger.path.unlink()
    logger.path.symlink_to("precious")
    logger.columns = ["step", "loss"]
    with pytest.raises(OSError, match="symbolic links"):
        logger.r2s_metrics(step=1, metrics={"loss": 1.0})
    assert (tmp_path / "precious").read_text() == "mine"
    (tmp_path / "tensorboard").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="is a link"):
        tensorboard.make(TensorBoardConfig(), tmp_path)


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


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda metrics: 1 / 0, r"r2s_metrics\(.* raises ZeroDivisionError"),
        (
            lambda metrics: metrics["loss"] < 0,
            r"r2s_metrics\(step=256, metrics=\{\}\) raises KeyErr",
        ),
        (lambda metrics: "stop", "r2s_metrics returns 'stop'; True stops training"),
    ],
)
def test_the_kit_says_what_a_hook_does_wrong(answer, complaint):
    class Wrong:
        @hookimpl
        def r2s_metrics(self, metrics):
            return answer(metrics)

    with pytest.raises(AssertionError, match=complaint):
        check_hook(lambda run_dir: Wrong())
    with pytest.raises(AssertionError, match="listens to nothing"):
        check_hook(lambda run_dir: object())


def test_our_loggers_pass_the_kit():
    check_hook(lambda run_dir: CsvLogger(run_dir / "metrics.csv"))
    check_hook(lambda run_dir: registry.build("hook", "tensorboard", TensorBoardConfig(), run_dir))
