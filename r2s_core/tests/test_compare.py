"""`r2s compare`: what is run, what is reused, what is told."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from r2s_core import cli
from r2s_core.compare import analysis, execute
from r2s_core.compare.plan import make_jobs
from r2s_core.compare.records import group_runs, read_run
from r2s_core.config import load_config
from r2s_core.errors import ConfigError

_PACKAGE = Path(__file__).with_name("tiny_plugin.py")
#: The environment as a plugin, for runs in processes of their own.
_TOUCH = """
from r2s_core.plugin import Plugin
from tiny_plugin import TouchConfig, touch
def make(config): return touch(64)
PLUGIN = Plugin("touch", "environment", "Touch a dot", "tiny_touch:make", TouchConfig)
"""


def leave_run(folder, seed=0, success: float | None = 0.9, curve=(), trained=(), **config):
    """A finished run's folder; curve, trained: success by update of 100 steps and one second."""
    folder.mkdir(parents=True)
    values = {"name": "tiny", "seed": seed, "algorithm": "climb", "output": str(folder)} | config
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    lines = ["step,wall_s,episode/count,episode/success,eval/success"]
    for i in range(max(len(curve), len(trained))):
        episodes = f"250,{trained[i]}" if i < len(trained) else ","
        measured = curve[i] if i < len(curve) and curve[i] is not None else ""
        lines.append(f"{100 * (i + 1)},{i + 1}.0,{episodes},{measured}")
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    result = {
        "success_rate": success,
        "wall_clock_s": 60.0 + seed,
        "env_steps": 1000,
        "train_steps_per_second": 16.0,
        "finished_at": "2026-01-01T00:00:00",
        "hardware": {"cpu": "one", "cpu_cores": 2},
    }
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def compare(*arguments):
    return cli.main(["compare", *map(str, arguments)])


@pytest.fixture
def numbers(tmp_path):
    """`numbers(*arguments)`: what compare.json holds after comparing."""

    def run(*arguments, status=0):
        assert compare(*arguments, "--output", tmp_path / "out") == status
        return json.loads((tmp_path / "out" / "compare.json").read_text())

    return run


# What others have written


_RESULT = {"wall_clock_s": 60.0, "env_steps": 10, "train_steps_per_second": 1.0, "finished_at": "x"}
_VALUES = (None, True, "x", -1, 1e300, 10**400, float("nan"), [], [1], {}, {"a": [None]}, "\ud800")


@pytest.mark.parametrize("key", [*_RESULT, "success_rate", "success_ci95", "episodes", "hardware"])
def test_a_crafted_result_is_compared_or_is_one_sentence(tmp_path, key, capsys):
    """Each field as every kind of value: never a traceback, and the file named where refused."""
    leave_run(tmp_path / "run")
    refused = 0
    for value in _VALUES:
        text = json.dumps({**_RESULT, key: value})
        (tmp_path / "run" / "result.json").write_text(text)
        status = compare(tmp_path / "run", "--output", tmp_path / "out")
        errors = [x for x in capsys.readouterr().err.splitlines() if x]
        assert status in (0, 2), value
        assert status == 0 or (len(errors) == 1 and "run" in errors[0])
        refused += status == 2
    assert refused >= 4


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("result.json", "[]"),
        ("result.json", "{" * 2000),
        ("config.yaml", "- 1"),
        ("config.yaml", "name: [a]\nseed: 0\nalgorithm: b"),
        ("config.yaml", "name: a\nseed: 0.5\nalgorithm: b"),
        ("config.yaml", f"name: a\nseed: {10**30}\nalgorithm: b"),
        ("config.yaml", "name: a\nseed: true\nalgorithm: b"),
        ("config.yaml", "a: &a [1]\nb: &b [*a, *a, *a]\nname: [*b, *b]"),
        ("config.yaml", "!!python/object/apply:os.system [true]"),
        ("config.yaml", "name: a\nseed: 0\nalgorithm: b\nhooks: {csv: {use: csv, file: ../../x}}"),
    ],
)
def test_files_that_no_run_wrote_are_one_sentence(tmp_path, file, text, capsys):
    leave_run(tmp_path / "run")
    (tmp_path / "run" / file).write_text(text)
    assert compare(tmp_path / "run", "--output", tmp_path / "out") == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_damaged_metrics_are_read_as_far_as_they_are_whole(tmp_path):
    leave_run(tmp_path / "run", curve=(0.1, 0.2, 0.3))
    path = tmp_path / "run" / "metrics.csv"
    good = read_run(tmp_path / "run").rows
    assert len(good) == 3
    lines = path.read_text().splitlines()
    damage = ["", "x", "200", "nan,1,,,0.5", "150,inf,,,0.5", "50,9,,,0.9", ",,,,,,,", "\0\0"]
    path.write_text("\n".join([*lines[:3], *damage, lines[3]]) + "\n")
    assert read_run(tmp_path / "run").rows == good
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"metrics\.csv.*not UTF-8"):
        read_run(tmp_path / "run")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a FIFO")
@pytest.mark.parametrize("name", ["metrics.csv", "config.yaml", "result.json"])
def test_a_fifo_in_a_run_s_folder_is_not_waited_for(tmp_path, name, capsys):
    leave_run(tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    os.mkfifo(tmp_path / "run" / name)
    assert compare(tmp_path / "run", "--output", tmp_path / "out") == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


# What is told of runs that are there


def test_runs_that_differ_in_their_seed_are_one_group(tmp_path, numbers, capsys):
    for seed, success in enumerate((0.5, 0.9, 0.92, 0.94, 1.0)):
        leave_run(tmp_path / "a" / f"seed_{seed}", seed, success)
    leave_run(tmp_path / "b" / "deep" / "er", 0, 0.8, algorithm="fall")

    found = numbers(tmp_path / "a", tmp_path / "b")

    first, second = found["groups"]
    assert (first["label"], second["label"]) == ("tiny climb", "tiny fall")
    assert [run["seed"] for run in first["runs"]] == [0, 1, 2, 3, 4]
    success = first["success"]
    assert success["interquartile_mean"]["value"] == pytest.approx(0.92)
    assert success["median"]["value"] == pytest.approx(0.92)
    assert success["mean"]["value"] == pytest.approx(0.852)
    low, high = success["interquartile_mean"]["ci95"]
    assert low < 0.92 < high
    assert first["worst"] == {"success": 0.5, "seed": 0}
    assert first["training_s"] == {"median": 62.0, "max": 64.0}
    assert second["success"]["mean"]["ci95"] is None  # one run
    assert found["improvement"][0]["probability"] == pytest.approx(0.8)
    assert found["differences"] == {"algorithm": ["climb", "fall"]}

    shown = capsys.readouterr().out
    assert "92.0 %" in shown
    assert "50.0 % (seed 0)" in shown
    table = (tmp_path / "out" / "compare.md").read_text()
    assert "| tiny climb | 5 | 92.0 % (" in table
    assert "* A single run does not show how runs vary: tiny fall" in table


def test_a_level_is_reached_at_the_first_evaluation_that_shows_it(tmp_path, numbers, capsys):
    curves = [(0.2, 0.6, 0.91), (0.5, 0.7, 0.8), (0.1, 0.4, 0.5)]
    for seed, curve in enumerate(curves):
        leave_run(tmp_path / "a" / f"seed_{seed}", seed, curve=curve, trained=(0.99,) * 3)

    found = numbers(tmp_path / "a")
    assert found["source"] == "eval/success"
    levels = found["groups"][0]["reached"]
    assert levels["0.5"]["runs"] == 3
    assert levels["0.5"]["steps"] == {"median": 200.0, "low": 100.0, "high": 300.0}
    assert levels["0.5"]["seconds"] == {"median": 2.0, "low": 1.0, "high": 3.0}
    # One of three: most runs never got there, and so did the median run.
    assert levels["0.9"]["runs"] == 1
    assert levels["0.9"]["seconds"] == {"median": None, "low": 3.0, "high": 3.0}
    assert levels["0.95"]["runs"] == 0
    shown = capsys.readouterr().out
    assert "2 s (1 to 3)" in shown
    assert "1 of 3: 3 to 3 s" in shown
    assert "not reached" in shown


def test_without_evaluations_training_episodes_are_told_as_such(tmp_path, numbers, capsys):
    # 250 episodes an update: 500 of them are two updates.
    leave_run(tmp_path / "a", curve=(0.9, 0.9, 0.9), trained=(0.0, 1.0, 1.0))
    leave_run(tmp_path / "b", trained=(0.0, 1.0, 1.0), algorithm="fall")

    found = numbers(tmp_path / "a", tmp_path / "b")
    assert found["source"] == "episode/success"
    for group in found["groups"]:  # for both alike, though one has evaluations
        assert group["reached"]["0.5"]["steps"]["median"] == 200
        assert group["reached"]["0.95"]["steps"]["median"] == 300
    shown = capsys.readouterr().out
    assert "success while training: episode/success" in shown
    assert "1 of 2 runs have no evaluations during training" in shown
    assert "not evaluation success" in (tmp_path / "out" / "compare.html").read_text()


def test_what_was_not_measured_is_not_told_as_not_reached(tmp_path, numbers, capsys):
    leave_run(tmp_path / "a", success=None)
    (tmp_path / "a" / "metrics.csv").unlink()
    found = numbers(tmp_path / "a")
    assert found["groups"][0]["success"] is None
    assert found["groups"][0]["runs"][0]["reached"] is None
    shown = capsys.readouterr().out
    assert "not reached" not in shown
    assert "No metrics (hook csv)" in shown
    assert "No run was evaluated" in (tmp_path / "out" / "compare.html").read_text()


def test_curves_are_the_middle_of_the_runs_as_far_as_all_came(tmp_path):
    runs = [
        read_run(leave_run(tmp_path / str(seed), seed, curve=[level] * points))
        for seed, (level, points) in enumerate([(0.1, 9), (0.2, 9), (0.3, 9), (0.9, 5)])
    ]
    curves = [analysis.curve(run, "eval/success") for run in runs]
    rows = np.array(analysis.band(curves, axis=0))
    assert (rows[0, 0], rows[-1, 0]) == (100, 500)
    np.testing.assert_allclose(rows[:, 1], 0.25)  # of four, the middle two
    np.testing.assert_allclose(rows[:, 2], np.quantile([0.1, 0.2, 0.3, 0.9], 0.25))
    np.testing.assert_allclose(rows[:, 3], np.quantile([0.1, 0.2, 0.3, 0.9], 0.75), rtol=1e-5)
    assert analysis.band([*curves, np.zeros((0, 3))], axis=0) == []


def test_algorithms_are_compared_over_the_tasks_that_all_were_run_on(tmp_path, numbers):
    for task, hard in (("air", 0.3), ("table", 0.0)):
        for algorithm, bonus in (("climb", 0.2), ("fall", 0.0)):
            for seed in range(3):
                leave_run(
                    tmp_path / task / algorithm / str(seed),
                    seed,
                    0.4 + hard + bonus + seed / 100,
                    name=task,
                    algorithm=algorithm,
                    environment={"use": task},
                )
    found = numbers(tmp_path / "air", tmp_path / "table")
    over = found["by_algorithm"]
    assert over["tasks"] == 2
    assert over["algorithms"]["climb"]["mean"]["value"] == pytest.approx(0.76)
    # Resampled within each task: the tasks' difference is no uncertainty.
    low, high = over["algorithms"]["climb"]["mean"]["ci95"]
    assert high - low < 0.02
    assert over["improvement"][0]["probability"] == 1.0
    assert numbers(tmp_path / "air")["by_algorithm"] is None


def test_what_is_left_out_is_named(tmp_path, numbers):
    for seed in (0, 1):
        leave_run(tmp_path / "a" / f"seed_{seed}", seed)
    leave_run(tmp_path / "a" / "seed_1-old-1", 1, name="before")
    leave_run(tmp_path / "a" / "seed_2", 2)
    (tmp_path / "a" / "seed_2" / "result.json").write_text("{}")  # a run stopped before its end
    leave_run(tmp_path / "copy", 0)

    found = numbers(tmp_path / "a", tmp_path / "copy")
    assert [run["seed"] for run in found["groups"][0]["runs"]] == [0, 1]
    notes = " ".join(found["notes"])
    assert "seed_1-old-1 was replaced by seed_1" in notes
    assert "seed_2 is not finished" in notes
    assert "copy repeats" in notes


def test_groups_of_one_name_are_told_apart_by_what_is_different(tmp_path):
    runs = [
        read_run(leave_run(tmp_path / str(i), algorithms={"climb": {"sigma": sigma}}))
        for i, sigma in enumerate((0.1, 0.2))
    ]
    groups, notes = group_runs(runs)
    assert [group.label for group in groups] == ["tiny climb sigma=0.1", "tiny climb sigma=0.2"]
    assert notes == []


def test_other_machines_are_pointed_out(tmp_path, numbers):
    leave_run(tmp_path / "a" / "seed_0", 0)
    other = leave_run(tmp_path / "a" / "seed_1", 1) / "result.json"
    other.write_text(other.read_text().replace('"one"', '"another"'))
    assert any("times do not compare" in note for note in numbers(tmp_path / "a")["notes"])


def test_the_page_stands_alone_and_escapes(tmp_path, numbers):
    for seed in range(3):
        leave_run(tmp_path / "a" / str(seed), seed, curve=(0.1, 0.5, 0.9), name="<b>")
    numbers(tmp_path / "a")
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "&lt;b&gt; climb" in page
    assert "<b> climb" not in page
    assert "src=" not in page
    assert "<script" not in page
    assert page.count("<polygon") == 2  # over steps and over seconds; training has no 500 episodes
    assert "one, 2 cores" in page
    assert "2026-01-01 00:00" in page


def leave_group(folder, rates, **config):
    for seed, rate in enumerate(rates):
        leave_run(folder / str(seed), seed, rate, **config)


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        (
            (0.9, 0.91),
            (0.5, 0.51),
            "Two runs of each cannot tell tiny climb (90.5 %) and tiny fall",
        ),
        ((0.9, 0.91, 0.92, 0.93), (0.5, 0.51, 0.52, 0.53), "tiny climb (91.5 %) ends better than"),
        ((0.9, 0.5, 0.92, 0.6), (0.7, 0.61, 0.82, 0.53), "Four runs of each cannot tell"),
        ((0.9, 0.91, 0.92), (0.5,), "So few runs cannot tell"),
    ],
)
def test_one_sentence_says_which_is_better_or_that_nobody_knows(tmp_path, numbers, a, b, told):
    leave_group(tmp_path / "a", a)
    leave_group(tmp_path / "b", b, algorithm="fall")
    numbers(tmp_path / "b", tmp_path / "a")
    for name in ("compare.html", "compare.md"):
        assert told in (tmp_path / "out" / name).read_text()


def test_a_group_has_one_colour_and_what_says_nothing_is_folded(tmp_path, numbers):
    leave_group(tmp_path / "a", (0.9, 0.92, 0.93), curve=(0.1, 0.2), x={"a": 1, "b": 2})
    leave_group(tmp_path / "b", (0.7, 0.72, 0.73), curve=(0.1, 0.2), x={"a": 2}, algorithm="fall")
    numbers(tmp_path / "a", tmp_path / "b")
    page = (tmp_path / "out" / "compare.html").read_text()
    assert '<span class="key c1"></span>tiny fall' in page
    assert '<circle class="dot c1"' in page
    assert '<polyline class="line c1"' in page
    assert "No run is known to have reached 50 %, 90 %, 95 %" in page
    folded = page[page.index("Settings that only some have (1)") :]
    assert "x.b" in folded
    assert "x.b" not in page[: page.index("Settings that only some have")]
    assert "x.a" not in folded


# What is run


@pytest.fixture
def config(tmp_path, install, monkeypatch):
    """A configuration of the tiny task that processes of their own can run too."""
    points = {
        "r2s.environments": {"touch": "tiny_touch:PLUGIN"},
        "r2s.algorithms": {"climb": "tiny_plugin:ALGORITHM"},
    }
    modules = {"tiny_plugin": _PACKAGE.read_text(), "tiny_touch": _TOUCH}
    monkeypatch.setenv("PYTHONPATH", str(install("tiny-task", points, modules)))
    path = tmp_path / "tiny.yaml"
    values = {
        "name": "tiny",
        "seed": 7,
        "backend": "mujoco",
        "environment": {"use": "touch", "num_parallel_envs": 64},
        "training": {"total_timesteps": 640, "checkpoint_interval_s": 0},
        "evaluation": {"episodes": 64, "num_parallel_envs": 64, "curve_episodes": 64},
        "algorithms": {"climb": {}},
    }
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture
def commands(monkeypatch):
    """Runs are not run but left as if they had been; gives the commands, `fails` says which not."""

    def run(_, command):
        commands.append(list(command))
        folder = Path(command[command.index("--output") + 1])
        overrides = [text for text in command if "=" in text]
        if set(overrides) & set(commands.fails):
            return commands.status
        values = load_config(command[command.index("run") + 1], overrides).resolved()
        leave_run(folder, **{key: value for key, value in values.items() if key != "output"})
        return 0

    class Commands(list):
        fails, status = (), 1

    commands = Commands()
    monkeypatch.setattr(execute._Signals, "run", run)
    return commands


def test_each_seed_is_run_and_what_is_finished_is_not_run_again(config, numbers, commands, capsys):
    first = numbers(config, "--seeds", 2)
    assert [run["seed"] for run in first["groups"][0]["runs"]] == [0, 1]
    assert first["groups"][0]["label"] == "tiny"
    assert len(commands) == 2
    assert "evaluation.curve_points=20" in commands[0]
    assert numbers(config, "--seeds", 3)["groups"][0]["runs"][2]["seed"] == 2
    assert len(commands) == 3
    assert "[1/3] tiny, seed 0: finished already" in capsys.readouterr().err


def test_an_interrupted_run_is_gone_on_with(config, numbers, commands, tmp_path):
    numbers(config, "--seeds", 1)
    (tmp_path / "out" / "tiny" / "seed_0" / "result.json").unlink()
    (tmp_path / "out" / "tiny" / "seed_0" / ".r2s-run").touch()
    commands.fails = ("seed=0",)
    assert compare(config, "--seeds", 1, "--output", tmp_path / "out") == 1
    assert "--resume" not in commands[0]
    assert commands[1][-1] == "--resume"


def test_another_configuration_in_the_folder_is_refused(config, numbers, commands, capsys):
    numbers(config, "--seeds", 1)
    assert compare(config, "--output", config.parent / "out", "algorithms.climb.sigma=0.7") == 2
    error = capsys.readouterr().err
    assert "algorithms.climb.sigma is 0.7, but the run in" in error
    assert "has 0.3" in error
    assert len(commands) == 1


def test_varied_values_are_groups_run_seed_by_seed(config, numbers, commands):
    found = numbers(
        config, "--seeds", 2, "--vary", "algorithms.climb.sigma=0.2,0.5", "training.use_gpu=false"
    )
    assert [group["label"] for group in found["groups"]] == ["tiny 0.2", "tiny 0.5"]
    assert found["differences"] == {"algorithms.climb.sigma": [0.2, 0.5]}
    order = [(c[-3], next(t for t in c if "sigma" in t)[-3:]) for c in commands]
    assert order == [("seed=0", "0.2"), ("seed=0", "0.5"), ("seed=1", "0.2"), ("seed=1", "0.5")]
    assert all("training.use_gpu=false" in command for command in commands)


def test_a_varied_value_may_hold_commas_and_several_are_combined(config, tmp_path):
    vary = ["environment.objects=[a,b],[c]", "algorithms.climb.sigma=0.1,0.2"]
    jobs = make_jobs([config], [], vary, 1, tmp_path / "out")
    assert [job.label for job in jobs] == [
        "tiny [a,b] 0.1",
        "tiny [a,b] 0.2",
        "tiny [c] 0.1",
        "tiny [c] 0.2",
    ]
    assert jobs[0].config.environment.options.objects == ("a", "b")
    assert jobs[0].folder.parent.name == "tiny-a-b-0.1"


def test_what_the_configuration_says_of_the_curve_rules(config, tmp_path):
    def points(*overrides):
        return make_jobs([config], overrides, [], 1, tmp_path)[0].config.evaluation.curve_points

    assert points() == 20
    assert points("evaluation.curve_points=0") == 0
    config.write_text(config.read_text().replace("evaluation:", "evaluation:\n  curve_points: 3"))
    assert points() == 3


def test_configurations_of_one_name_are_called_after_their_files(config, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(config.read_text())
    jobs = make_jobs([config, other], [], [], 1, tmp_path)
    assert [job.label for job in jobs] == ["tiny", "other"]
    with pytest.raises(ConfigError, match="another configuration is called tiny too"):
        make_jobs([config, config], [], [], 1, tmp_path)


def test_a_failed_run_is_told_and_the_others_go_on(config, numbers, commands):
    commands.fails = ("seed=1",)
    found = numbers(config, "--seeds", 3, status=1)
    assert [run["seed"] for run in found["groups"][0]["runs"]] == [0, 2]
    assert "tiny, seed 1 failed (exit status 1) and is not in the numbers" in found["notes"][0]


def test_a_configuration_that_cannot_run_stops_all(config, commands, tmp_path, capsys):
    commands.fails, commands.status = ("seed=0",), 2
    assert compare(config, "--output", tmp_path / "out") == 2
    assert len(commands) == 1
    assert "tiny, seed 0: cannot be run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere.yaml"], "nowhere.yaml: no such file or folder"),
        (["seed=3"], "nothing to compare"),
        (["CONFIG", "--seeds", "0"], "--seeds is 0"),
        (["CONFIG", "algorithms.climb.sigma=-1"], "algorithms.climb.sigma"),
        (["CONFIG", "seed=3"], "see --seeds"),
        (["CONFIG", "--vary", "output=a,b"], "see --output"),
        (["CONFIG", "--vary", "algorithms.climb.sgima=1,2"], "did you mean sigma?"),
        (["CONFIG", "--vary", "nonsense.key=1,2"], "nonsense"),
        (["CONFIG", "--vary", "sigma"], "expected KEY=V1,V2"),
        (["CONFIG", "--vary", "algorithms.climb.sigma=1,1"], "written twice"),
        (["EMPTY"], "nothing to compare: there is no run in it"),
        (["UNFINISHED"], "is not finished"),
        (["DAMAGED"], "has a damaged result.json; skipped"),
        (["RUN", "seed=1"], "an existing run cannot be changed"),
        (["RUN", "training.use_gpu=false"], "values are for YAML files"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_bad_input_is_refused_before_anything_runs(
    config, commands, tmp_path, capsys, arguments, expected
):
    for name in ("EMPTY", "UNFINISHED", "DAMAGED", "RUN"):
        (tmp_path / name).mkdir() if name == "EMPTY" else leave_run(tmp_path / name)
    (tmp_path / "UNFINISHED" / "result.json").unlink()
    (tmp_path / "UNFINISHED" / ".r2s-run").touch()
    (tmp_path / "DAMAGED" / "result.json").write_text('{"finished_at": "today",')
    words = [str(tmp_path / w) if w.isupper() and w != "CONFIG" else w for w in arguments]
    words = [str(config) if word == "CONFIG" else word for word in words]
    assert compare(*words, "--output", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert expected in error
    assert len(error.splitlines()) == 1
    assert commands == []


def test_a_folder_of_something_else_is_refused(config, commands, tmp_path, capsys):
    thesis = tmp_path / "out" / "tiny" / "seed_0" / "thesis.tex"
    thesis.parent.mkdir(parents=True)
    thesis.touch()
    assert compare(config, "--output", tmp_path / "out") == 2
    assert "has files that are not a run's" in capsys.readouterr().err
    assert commands == []


def test_stopped_for_real_and_gone_on_with_to_the_same_numbers(config, tmp_path):
    """The real thing once: processes, Ctrl-C, and the same command again."""
    command = [sys.executable, "-m", "r2s_core", "compare", str(config), "--seeds", "1"]
    command += ["--output", str(tmp_path / "out"), "algorithms.climb.sleep_s=0.2"]
    run_dir = tmp_path / "out" / "tiny" / "seed_0"
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    deadline = time.monotonic() + 60
    while not list((run_dir / "checkpoints").glob("step-*")):
        assert time.monotonic() < deadline, "the run saved nothing"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Stopped; the same command continues from here." in errors
    assert "Traceback" not in errors
    assert not (run_dir / "result.json").exists()

    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[1/1] tiny, seed 0: continued" in done.stderr
    assert "Resuming at step" in done.stderr
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert found["source"] == "eval/success"
    assert found["groups"][0]["runs"][0]["env_steps"] == 640
    rows = (run_dir / "metrics.csv").read_text().splitlines()
    assert len(rows) == 11  # each update has its row, and each one an evaluation: 20 in 10
    assert all(row.rsplit(",", 1)[1] for row in rows[1:])
