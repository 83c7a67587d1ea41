"""A whole run of a tiny task: what it leaves, how it stops, and how it goes on."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from r2s_core.config import load_config
from r2s_core.errors import ConfigError, R2SError
from r2s_core.policy.saved import load_policy
from r2s_core.record import checkpoint
from r2s_core.record.folder import RunFolder
from r2s_core.system.signals import RunInterrupted, StopSignals, handling, tidy_end
from r2s_core.training import loop
from r2s_core.training.divergence import PhysicsDiverged
from r2s_core.training.run import run

OFTEN = {"training": {"checkpoint_interval_s": 0}}  # a checkpoint after every update


def test_a_run_learns_and_leaves_everything_it_promises(tiny, capsys):
    result = tiny.run()

    assert result["success_rate"] > 0.9
    low, high = result["success_ci95"]
    assert low < result["success_rate"] < high or result["success_rate"] == high
    assert result["episodes"] == 1024  # 1,000 rounded up to the same number in each of 64 worlds
    assert result["env_steps"] == 6400
    assert result["object"] == "dot"
    assert result["training_episodes"] == 6400
    assert result["diverged_in_training"] == 100
    assert result["backend"] == "mujoco"
    assert result["seed"] == 0
    assert result["stopped_by"] == "total_timesteps"
    assert 0 < result["wall_clock_s"] < result["total_s"]
    assert result["train_steps_per_second"] == pytest.approx(
        6400 / result["wall_clock_s"], rel=1e-3
    )
    assert tiny.result() == json.loads(json.dumps(result))

    names = {path.name for path in tiny.run_dir.iterdir()}
    assert {"config.yaml", "metrics.csv", "checkpoints", "policy", "report.html"} <= names
    assert len(tiny.metrics()) == 1 + 100
    np.testing.assert_allclose(load_policy(tiny.run_dir)([[0.5]]), [[0.5]], atol=0.2)
    shown = capsys.readouterr()
    assert f"{100 * result['success_rate']:.1f} %" in shown.out
    assert "report.html" in shown.out


def test_physics_that_diverges_in_all_worlds_ends_the_run_and_keeps_what_was_saved(
    tiny, monkeypatch, capsys
):
    import tiny_plugin  # type: ignore[import-not-found]

    original = tiny_plugin.Climb.update

    def breaking(climb, learner):
        learner, metrics = original(climb, learner)
        ended = metrics["episode/count"]
        return learner, {**metrics, "env/diverged": ended if climb.updates > 4 else 0.0 * ended}

    monkeypatch.setattr(tiny_plugin.Climb, "update", breaking)
    with pytest.raises(
        PhysicsDiverged, match=r"by step 320, 64 of the last 64 episodes ended by divergence"
    ):
        tiny.run(**OFTEN)
    saved = [path.name for path in (tiny.run_dir / "checkpoints").glob("step-*")]
    assert max(saved).endswith("256.ckpt"), "of before it broke"
    assert capsys.readouterr().err.count("ended by diverging physics") == 1
    assert not (tiny.run_dir / "result.json").exists()


def test_its_config_yaml_runs_again_to_the_same_policy(tiny):
    tiny.run()
    first = tiny.weights()
    from tiny_plugin import make_env  # type: ignore[import-not-found]

    again = tiny.folder / "again"
    run(load_config(tiny.run_dir / "config.yaml"), output=again, make_env=make_env)

    for name, tensor in load_policy(again).tensors.items():
        np.testing.assert_array_equal(tensor, first[name])


def test_an_earlier_run_is_moved_aside_never_overwritten(tiny, capsys):
    tiny.run()
    (tiny.run_dir / "mine.txt").write_text("keep me")
    tiny.run(seed=5)
    old = tiny.run_dir.with_name("tiny-old-1")
    assert (old / "mine.txt").read_text() == "keep me"
    assert json.loads((old / "result.json").read_text())["seed"] == 0
    assert tiny.result()["seed"] == 5
    assert "tiny-old-1" in capsys.readouterr().err


def test_a_folder_of_something_else_is_refused(tiny):
    tiny.run_dir.mkdir(parents=True)
    (tiny.run_dir / "thesis.tex").write_text("")
    (tiny.run_dir / "config.yaml").write_text("mine: true")  # many tools call theirs so
    with pytest.raises(R2SError, match="not a run's"):
        tiny.run()
    assert {p.name for p in tiny.run_dir.iterdir()} == {"thesis.tex", "config.yaml"}


def test_two_runs_in_one_folder_are_refused(tiny):
    with (
        RunFolder(tiny.run_dir, resume=False),
        pytest.raises(R2SError, match="Another r2s is running"),
    ):
        tiny.run()
    assert not tiny.run_dir.exists()  # nothing began there
    tiny.run()  # and once it is over, it is over


def test_a_start_that_fails_leaves_the_last_run_where_it_was(tiny):
    tiny.run()
    before = sorted(path.name for path in tiny.run_dir.iterdir())
    for wrong in ({"hooks": {"csv": {"file": "../x.csv"}}}, {"seed": 2**63 - 1}):
        with pytest.raises(R2SError):
            tiny.run(**wrong)
    assert sorted(path.name for path in tiny.run_dir.iterdir()) == before
    assert [path.name for path in tiny.run_dir.parent.iterdir()] == ["tiny"]


def test_a_moved_run_goes_on_and_a_full_disk_at_the_start_advises_no_resume(tiny, monkeypatch):
    from tiny_plugin import make_env  # type: ignore[import-not-found]

    tiny.run(training={"total_timesteps": 640})
    moved = tiny.folder / "elsewhere" / "mine"
    moved.parent.mkdir()
    tiny.run_dir.rename(moved)
    own = load_config(moved / "config.yaml", ["training.total_timesteps=1280"])
    result = run(own, resume=True, make_env=make_env)
    assert result["env_steps"] == 1280
    assert not tiny.run_dir.exists()

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device", "x")

    monkeypatch.setattr("r2s_core.record.folder._write_config", full)
    with pytest.raises(R2SError, match="Nothing had been saved yet; start it again"):
        tiny.run()


def test_a_killed_run_resumes_to_the_very_same_result(tiny):
    tiny.run()
    whole_weights, whole_metrics, whole = tiny.weights(), tiny.metrics(), tiny.result()

    process = tiny.start(algorithms={"climb": {"sleep_s": 0.02}}, **OFTEN)
    tiny.wait_for_checkpoints(5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed_rows = len(tiny.metrics())
    assert 1 < killed_rows < 101

    # The dawdling is part of the configuration; the same one resumes.
    process = tiny.start("--resume", algorithms={"climb": {"sleep_s": 0.02}})
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "Resuming at step" in errors

    for name, tensor in tiny.weights().items():
        np.testing.assert_array_equal(tensor, whole_weights[name])
    assert tiny.metrics() == whole_metrics
    for key in ("success_rate", "env_steps", "training_episodes", "diverged_in_training"):
        assert tiny.result()[key] == whole[key]


def test_every_checkpoint_tells_how_long_compiling_took(tiny, monkeypatch):
    """Or a run that was killed and resumed would count it as training."""
    saved, save = [], checkpoint.save

    def note(folder, learner, meta, **options):
        saved.append(meta["compile_s"])
        return save(folder, learner, meta, **options)

    monkeypatch.setattr(checkpoint, "save", note)
    result = tiny.run(**OFTEN)
    assert len(saved) > 2
    assert min(saved) > 0.0
    assert result["compile_s"] == pytest.approx(saved[-1], abs=1e-3)


def test_ctrl_c_saves_and_says_how_to_go_on(tiny):
    process = tiny.start(algorithms={"climb": {"sleep_s": 0.05}}, **OFTEN)
    tiny.wait_for_checkpoints(2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Traceback" not in errors
    assert f"r2s run {tiny.run_dir / 'config.yaml'} --resume" in errors
    assert not (tiny.run_dir / "result.json").exists()
    tiny.assert_the_last_row_is_saved()


def test_sigterm_does_too(tiny, monkeypatch):
    tiny.signal_at(7, signal.SIGTERM, monkeypatch)
    with pytest.raises(RunInterrupted, match=r"Stopped at 448 of 6,400 steps.*--resume") as caught:
        tiny.run()
    assert caught.value.exit_code == 143
    tiny.assert_the_last_row_is_saved()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # as it was before


def test_ctrl_c_in_jax_s_part_of_garbage_collection_is_not_lost():
    """What is raised there Python prints and forgets."""
    survived = []

    def _xla_gc_callback():
        os.kill(os.getpid(), signal.SIGINT)
        survived.append(True)

    with StopSignals(print) as stop:
        _xla_gc_callback()
        assert stop.received is None
        with pytest.raises(KeyboardInterrupt):
            time.sleep(5)
    assert survived == [True]
    assert stop.received == signal.SIGINT


def test_ctrl_c_in_that_part_is_not_lost_to_other_commands_either():

    def _xla_gc_callback():
        os.kill(os.getpid(), signal.SIGINT)

    heard = handling([signal.SIGINT], signal.default_int_handler)  # which `pytest &` ignores
    with heard, pytest.raises(KeyboardInterrupt), tidy_end():  # noqa: PT012
        _xla_gc_callback()
        time.sleep(5)


def test_a_terminal_that_closes_saves_first_and_nohup_is_left_alone(tiny, monkeypatch, request):
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup pytest ignores
    request.addfinalizer(lambda: signal.signal(signal.SIGHUP, before))
    tiny.signal_at(7, signal.SIGHUP, monkeypatch)
    with pytest.raises(RunInterrupted, match="Stopped at 448 of 6,400 steps") as caught:
        tiny.run()
    assert caught.value.exit_code == 128 + signal.SIGHUP
    tiny.assert_the_last_row_is_saved()
    monkeypatch.setattr(signal, "getsignal", lambda signum: signal.SIG_IGN)
    with StopSignals(print):
        monkeypatch.undo()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


def test_stopped_while_it_compiles_it_ends_at_once_and_leaves_nothing(tiny, monkeypatch):
    tiny.signal_at(1, signal.SIGINT, monkeypatch)
    with pytest.raises(RunInterrupted, match="Nothing had been saved yet"):
        tiny.run()


_STUCK = """
import ctypes
from r2s_core.system import signals
signals._PATIENCE_S = 0.2
with signals.StopSignals(print, lambda: "last words"):
    # In C from before the signal until the end, as a compiler is: no handler of Python's can run.
    ctypes.CDLL(None).system(b"exec >/dev/null 2>&1; kill -TERM $PPID; sleep 30")
"""


def test_a_main_thread_that_does_not_come_back_is_not_waited_for():
    ended = subprocess.run(
        [sys.executable, "-c", _STUCK], capture_output=True, text=True, timeout=30
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (143, "", "last words\n")


def test_a_second_ctrl_c_stops_at_once(tiny, monkeypatch):
    tiny.signal_at(7, signal.SIGINT, monkeypatch, times=2)
    with pytest.raises(RunInterrupted, match="Stopped at once") as caught:
        tiny.run()
    assert caught.value.exit_code == 130


def test_resume_starts_afresh_where_there_is_nothing(tiny, capsys):
    tiny.run(resume=True)
    assert "no checkpoint yet" in capsys.readouterr().err
    assert tiny.result()["env_steps"] == 6400


def test_a_finished_run_can_be_trained_further_but_not_changed(tiny, capsys):
    tiny.run()
    capsys.readouterr()
    assert tiny.run(resume=True)["env_steps"] == 6400
    assert "Training had finished, at step 6,400" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"algorithms\.climb\.sigma is 0\.5.*has 0\.3"):
        tiny.run(resume=True, algorithms={"climb": {"sigma": 0.5}})
    with pytest.raises(ConfigError, match=r"seed is 1"):
        tiny.run(resume=True, seed=1)
    result = tiny.run(resume=True, training={"total_timesteps": 9600})
    assert result["env_steps"] == 9600
    assert len(tiny.metrics()) == 1 + 150


def test_a_damaged_checkpoint_is_told_and_passed_over(tiny, capsys):
    tiny.run(**OFTEN)
    newest = max((tiny.run_dir / "checkpoints").glob("step-*"))
    newest.write_bytes(newest.read_bytes()[:100])
    result = tiny.run(resume=True)
    shown = capsys.readouterr().err
    assert newest.name in shown
    assert "continuing with the checkpoint before it" in " ".join(shown.split())
    assert result["env_steps"] == 6400


def test_stopping_early(tiny):
    result = tiny.run(training={"stop_at_success": 0.8, "total_timesteps": 10**6})
    assert result["stopped_by"] == "stop_at_success"
    assert result["env_steps"] < 10**5

    result = tiny.run(training={"time_limit_s": 0.3, "total_timesteps": 10**9})
    assert result["stopped_by"] == "time_limit_s"
    assert result["wall_clock_s"] < 5


def test_without_training_or_evaluation(tiny):
    result = tiny.run(training={"total_timesteps": 0}, evaluation={"episodes": 0})
    assert result["env_steps"] == 0
    assert "success_rate" not in result
    assert (tiny.run_dir / "report.html").exists()


def test_training_that_diverges_keeps_the_checkpoint_before(tiny):
    with pytest.raises(R2SError, match="training diverged"):
        tiny.run(algorithms={"climb": {"poison_at": 50}}, **OFTEN)
    last = max((tiny.run_dir / "checkpoints").glob("step-*")).stem
    assert int(last.removeprefix("step-")) == 49 * 64


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_disk_is_one_sentence(tiny, monkeypatch):
    tiny.run(evaluation={"episodes": 0})

    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("r2s_core.loggers.csv_file.write_text", full)
    with pytest.raises(R2SError, match=r"No space left on the disk of .*tiny.*--resume"):
        tiny.run(resume=True, evaluation={"episodes": 0})
    assert list((tiny.run_dir / "checkpoints").glob("step-*"))


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ("learner, metrics | {'histogram': np.zeros(4)}", r"histogram has shape \(4,\)"),
        ("learner, metrics | {'loss': 'low'}", r"algorithm 'climb' failed.*ValueError.*'low'"),
        ("learner, None", r"algorithm 'climb': update returned \(.*, nothing\); it must return"),
        (
            "None",
            r"algorithm 'climb': update returned nothing; it must return",
        ),
        ("learner, metrics | {'x': 1 / 0}", r"test_run.py:\d+ \(bad\): ZeroDivisionError"),
        ("exit()", r"test_run.py:\d+ \(bad\): it called sys.exit"),
    ],
)
def test_an_algorithm_that_fails_is_named(tiny, monkeypatch, answer, cause):
    import tiny_plugin  # type: ignore[import-not-found]

    scope = {"update": tiny_plugin.Climb.update, "np": np}
    source = f"def bad(self, learner):\n learner, metrics = update(self, learner)\n return {answer}"
    exec(compile(source, __file__, "exec"), scope)
    monkeypatch.setattr(tiny_plugin.Climb, "update", scope["bad"])
    with pytest.raises(R2SError, match=cause):
        tiny.run()


def test_a_metric_does_not_replace_a_column_of_ours():
    row = loop._row({"step": 3.0, "wall_s": np.float32(1.0), "loss": 0.5})
    assert row == {"algorithm/step": 3.0, "algorithm/wall_s": 1.0, "loss": 0.5}
