"""`r2s demo`, and learning from what it recorded."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r2s_core import cli
from r2s_core.rendering import render
from r2s_core.system import files
from r2s_lerobot import layout
from r2s_lerobot.read import read
from r2s_lerobot.replay import load_recording

DATA = layout.DATA.format(chunk_index=0, file_index=0)


def demo(*arguments: object) -> int:
    return cli.main(["demo", *map(str, arguments)])


def record(config: Path, *arguments: object, episodes: int = 10, output: str = "demos") -> Path:
    folder = config.parent / output
    assert demo("record", config, "--episodes", episodes, "-o", folder, *arguments) == 0
    return folder


def facts(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict:
    capsys.readouterr()
    assert demo("info", folder, "--json") == 0
    return json.loads(capsys.readouterr().out)


# Recording.


def test_a_recording_is_a_data_set_that_tells_what_it_is(driving, capsys):
    folder = record(driving, "--noise-std", "0.2", "--seed", "3")
    told = facts(folder, capsys)
    assert told["episodes"] == 10
    assert told["frames"] == 80
    assert told["rate_hz"] == 50.0
    assert told["success_rate"] == 1.0
    assert list(told["features"]) == [
        *("observation.state", "observation.environment_state", "action", "executed_action"),
        *("next.reward", "next.done", "next.success"),
    ]
    assert told["features"]["observation.state"]["names"] == [
        "distance",
        "tilt",
        "speed",
        "turning",
    ]
    recording = told["recording"]
    assert (recording["expert"], recording["noise_std"], recording["seed"]) == ("script", 0.2, 3)
    assert recording["complete"]
    assert 10 <= recording["episodes_succeeded"] < recording["episodes_played"]
    assert demo("info", folder) == 0
    shown = capsys.readouterr().out
    assert "script; of" in shown
    assert "0.2 on what was executed" in shown
    labels = read(folder, {}, None).episodes[0]
    assert not np.array_equal(labels.action, labels.label)


def test_failures_are_kept_on_request_and_seeds_repeat(driving):
    first = read(record(driving, "--keep-failures", output="a"), {}, None)
    again = read(record(driving, "--keep-failures", output="b"), {}, None)
    other = read(record(driving, "seed=1", "--keep-failures", output="c"), {}, None)
    assert {episode.success for episode in first.episodes} == {True, False}
    for a, b in zip(first.episodes, again.episodes, strict=True):
        np.testing.assert_array_equal(a.obs["policy"], b.obs["policy"])
    assert not np.array_equal(first.episodes[0].obs["policy"], other.episodes[0].obs["policy"])


def test_nothing_is_overwritten(driving, capsys):
    (driving.parent / "demos").mkdir()
    folder = record(driving, episodes=1)  # an empty folder is as good as none
    before = (folder / layout.INFO).read_bytes()
    assert demo("record", driving, "--episodes", 1, "-o", folder) == 1
    assert "demos exists already, and is never overwritten" in capsys.readouterr().err
    assert (folder / layout.INFO).read_bytes() == before


def test_an_expert_that_raises_or_never_succeeds_is_one_sentence(driving, capsys):
    asked = ["record", driving, "--episodes", 5, "-o", "demos"]
    assert demo(*asked[:2], "environment.fails=true", *asked[2:]) == 1
    error = capsys.readouterr().err
    assert "ZeroDivisionError: the expert gave up" in error
    assert "Traceback" not in error
    assert demo(*asked[:2], "environment.hopeless=true", *asked[2:]) == 1
    assert "0 succeeded; it cannot do this task" in capsys.readouterr().err
    assert demo(*asked, "--expert", driving.parent / "site") == 2
    assert "not a run, which would have a policy/" in capsys.readouterr().err
    assert demo(*asked[:-1], "new/deep/demos", "environment.hopeless=true") == 1
    assert not [name for name in ("demos", "new") if (driving.parent / name).exists()]


def test_a_full_disk_is_told(driving, capsys, monkeypatch):
    write = files.write_bytes

    def full(path: Path, data: bytes) -> None:
        if "episodes" in str(path):
            raise OSError(28, "No space left on device", str(path))
        write(path, data)

    monkeypatch.setattr(files, "write_bytes", full)
    assert demo("record", driving, "--episodes", 2, "-o", "demos") == 1
    error = capsys.readouterr().err
    assert "the disk is full while writing" in error
    assert "Nothing had been recorded yet. Free" in error
    assert not Path("demos").exists()
    Path("demos").mkdir()
    assert demo("record", driving, "--episodes", 2, "-o", "demos") == 1
    assert list(Path("demos").iterdir()) == []  # which was there, and can be recorded to again


def test_a_folder_that_cannot_be_written_is_told(driving, capsys):
    (driving.parent / "file").write_text("")
    assert demo("record", driving, "--episodes", 2, "-o", "file/demos") == 1
    error = capsys.readouterr().err
    assert "file/demos" in error
    assert "check the path" in error
    assert "preparing" not in error
    assert "driving" not in error.splitlines()[-1].replace(str(driving.parent), "")


def start_recording(config: Path, until: str, *options: str) -> tuple[subprocess.Popen[str], Path]:
    """An endless recording, in which the file `until` exists."""
    folder = config.parent / "demos"
    # Written after every round, so that a round does not take as long as the interval.
    script = (
        "from r2s_lerobot import recording; recording._INTERVAL_S = 0.0; "
        "from r2s_core.cli import program; program()"
    )
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            script,
            "demo",
            "record",
            config,
            "--episodes",
            "900000",
            "-o",
            folder,
            *options,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (folder / until).exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process, folder


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_folder_is_claimed_from_the_start_and_gone_where_nothing_was_written(
    driving, capsys, signum
):
    process, folder = start_recording(driving, until=layout.MARK)
    assert demo("record", driving, "--episodes", 1, "-o", folder) == 1
    error = capsys.readouterr().err
    assert "demos is being recorded to by another process, or was left by one" in error
    assert "preparing" not in error
    assert process.stderr is not None
    while signum == signal.SIGTERM and "compiling" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signum)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signum
    assert not folder.exists()


def test_the_mark_of_a_recording_goes_with_it_and_one_that_is_left_does_no_harm(driving, capsys):
    folder = record(driving, episodes=2)
    mark = folder / layout.MARK
    assert not mark.exists()
    mark.touch()
    assert facts(folder, capsys)["episodes"] == 2
    assert demo("replay", folder) == 0
    assert demo("record", driving, "--episodes", 1, "-o", folder) == 1
    assert "demos exists already, and is never overwritten" in capsys.readouterr().err


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_the_whole_episodes_so_far(driving, capsys, signum):
    process, folder = start_recording(driving, until=DATA.replace("000.p", "002.p"))
    process.send_signal(signum)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + signum
    data = read(folder, {}, None)
    assert f"is a data set of the {len(data.episodes):,} episodes recorded so far" in error
    assert "Traceback" not in error
    assert len(data.episodes) >= 3
    told = facts(folder, capsys)
    assert not told["recording"]["complete"]
    assert demo("info", folder) == 0
    assert "of 900000 episodes that were wanted" in capsys.readouterr().out


def test_what_kill_9_leaves_is_a_data_set(driving, capsys):
    """With the images, whose video is complete before anything names it."""
    third = DATA.replace("000.p", "002.p")
    process, folder = start_recording(driving, third, "environment.seen=true")
    process.kill()
    process.communicate(timeout=60)
    episodes = read(folder, {}, None).episodes
    assert {episode.obs["camera"].shape for episode in episodes} == {(8, 4, 25, 3)}
    whole = len(episodes)
    assert whole >= 3
    # As if it had been killed between the files of a flush.
    info = json.loads((folder / layout.INFO).read_text())
    (folder / layout.INFO).write_text(json.dumps(info | {"total_episodes": whole - 1}))
    assert len(read(folder, {}, None).episodes) == whole - 1
    assert not facts(folder, capsys)["recording"]["complete"]
    # As if it had been killed before the first.
    (folder / layout.INFO).unlink()
    assert demo("info", folder) == 2
    assert "it has no meta/info.json" in capsys.readouterr().err


# Replaying.


def test_a_replay_is_exact_and_notices_a_changed_action(driving, capsys):
    chunked = "environment.action_chunk=4"  # of a policy; an expert is recorded in every step
    folder = record(driving, "--noise-std", "0.3", "--keep-failures", chunked, episodes=9)
    capsys.readouterr()
    assert demo("replay", folder) == 0
    shown = capsys.readouterr().out
    assert "9 of 9 episodes are as recorded, to the last bit" in shown
    assert "largest difference" not in shown
    # XLA compiles what is observed together with the expert, so it has to be there for equal bits.
    assert load_recording(folder)[0].demonstrations.source == "script"
    table = pq.read_table(folder / DATA)
    values = np.array(table["executed_action"].to_pylist(), np.float32)
    values[8 + 2] = -values[8 + 2]  # the third step of the second episode
    at = table.schema.get_field_index("executed_action")
    changed = table.set_column(at, "executed_action", pa.array(values.ravel()))
    pq.write_table(changed, folder / DATA)
    assert demo("replay", folder, "--episodes", 3) == 0
    shown = capsys.readouterr().out
    assert "2 of 3 episodes are as recorded" in shown
    assert "in episode 1 after" in shown
    assert demo("replay", folder, "--episodes", 1) == 0
    assert "1 of 1 episodes are as recorded, to the last bit" in capsys.readouterr().out


def test_only_recordings_are_replayed_and_they_run_nobodys_code(driving, capsys):
    folder = record(driving, episodes=2)
    ours = folder / layout.OURS / "config.yaml"
    (driving.parent / "evil.py").write_text("raise SystemExit('it ran')\ndef bonus(x): return x\n")
    text = ours.read_text().replace("rewards: null", "rewards: {bonus: {use: ../evil.py:bonus}}")
    assert "evil" in text
    ours.write_text(text)
    capsys.readouterr()
    assert demo("replay", folder) == 0
    assert "2 of 2 episodes" in capsys.readouterr().out
    # A recording that cannot be one.
    ours.write_text(text.replace("num_parallel_envs: 6", "num_parallel_envs: 5"))
    assert demo("replay", folder) == 2
    assert "episode 0 began as none of its recording can" in capsys.readouterr().err
    ours.write_text(text.replace("episode_steps: null", "episode_steps: 4"))
    assert demo("replay", folder) == 1
    assert "an episode has 8 steps" in capsys.readouterr().err
    shutil.rmtree(folder / layout.OURS)
    assert demo("replay", folder) == 2
    assert "not recorded by r2s" in capsys.readouterr().err


def test_a_video_replaces_only_that_of_an_earlier_replay(driving, capsys):
    folder = record(driving, episodes=1)
    (folder / "replay.mp4").write_text("of an earlier replay")
    info = folder / layout.INFO
    before = info.read_bytes()
    for video, said in [
        (info, "exists already, and is not overwritten"),
        (folder, "is a folder; name a file"),
        ("none/a.mp4", "there is no folder none; create it first"),
    ]:
        assert demo("replay", folder, "-o", video) == 1
        error = capsys.readouterr().err
        assert said in error
        assert "preparing" not in error.splitlines()[-1]
    assert info.read_bytes() == before
    assert demo("replay", folder) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--episodes", "1e3"], "expected a whole number of at least 1, got '1e3'"),
        (["--episodes", "0"], "expected a whole number of at least 1, got '0'"),
        (["--noise-std", "abc"], "expected a number of at least 0, got 'abc'"),
        (["--noise-std", "nan"], "expected a number of at least 0, got 'nan'"),
        (["--seed", "x"], "expected a whole number, got 'x'"),
        (["--expert", ""], "expected a name, got ''"),
        (["-o", ""], "expected a name, got ''"),
    ],
)
def test_an_option_that_is_mistyped_is_told_in_plain_words(capsys, arguments, said):
    with pytest.raises(SystemExit):
        demo("record", "quickstart", "--episodes", "1", "-o", "demos", *arguments)
    assert said in capsys.readouterr().err


def test_no_name_is_not_the_working_directory(capsys):
    with pytest.raises(SystemExit):
        demo("info", "")
    assert "expected a name, got ''" in capsys.readouterr().err


# Learning.


def test_a_policy_is_cloned_from_a_recording_and_the_run_is_complete_without_it(driving, capsys):
    folder = record(driving, episodes=8)
    options = [
        "algorithm=bc",
        "algorithms={bc: {num_batches: 2, hidden_sizes: [8]}}",
        f"demonstrations.source={folder}",
    ]
    assert cli.main(["run", str(driving), *options, "output=run"]) == 0
    assert "demonstrations: 8 episodes, 64 control steps" in capsys.readouterr().err
    shutil.rmtree(folder)
    assert list(Path("run/inputs").glob("demonstrations-*.safetensors"))
    assert cli.main(["run", "run/config.yaml", "output=again"]) == 0
    policies = [
        next(Path(x, "policy").glob("*.safetensors")).read_bytes() for x in ("run", "again")
    ]
    assert policies[0] == policies[1]


def test_a_recording_does_not_fit_another_rate(driving, capsys):
    folder = record(driving, episodes=2)
    info = json.loads((folder / layout.INFO).read_text())
    (folder / layout.INFO).write_text(json.dumps(info | {"fps": 49.8}))
    options = ["algorithm=bc", f"demonstrations.source={folder}", "output=run"]
    assert cli.main(["run", str(driving), *options]) == 2
    assert "49.8 steps a second, and this environment 50" in capsys.readouterr().err


def test_a_group_that_the_task_does_not_have_is_told(driving, capsys):
    folder = record(driving, episodes=2)
    options = ["algorithm=bc", f"demonstrations.source={folder}", "output=run"]
    options.append("demonstrations.features={polcy: observation.state}")
    assert cli.main(["run", str(driving), *options]) == 2
    assert "demonstrations.features.polcy" in capsys.readouterr().err


# The quickstart.


def test_the_quickstart_is_recorded_replayed_and_filmed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = ["quickstart", "environment.num_parallel_envs=4", "environment.objects=[sample:soap]"]
    config += ["environment.object_masses={}", "environment.max_episode_steps=20"]
    assert demo("record", *config, "--episodes", 2, "--keep-failures", "-o", "demos") == 0
    capsys.readouterr()
    assert demo("replay", "demos") == 0
    shown = capsys.readouterr().out
    assert "2 of 2 episodes are as recorded, to the last bit" in shown
    if render.probe_gl() is None:
        assert render.missing_gl_advice() in shown
    else:
        assert (tmp_path / "demos/replay.mp4").stat().st_size > 1000


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from r2s_core.cli import main\n"
        "try: main(['demo', 'record', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'jax', 'mujoco', 'pyarrow'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
