"""A killed run goes on as if nothing had happened: pick-and-place on the `mujoco` backend."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from r2s_core.policy.saved import load_policy

UPDATES = 12
#: Small, but with everything that a learner holds: the start-state bank, staggered clocks,
#: normalisers, an adaptive learning rate, correlated noise, a replay buffer that is written over,
#: several objects (a world's model fields), two physics threads.
CONFIG = {
    "backend": {"use": "mujoco", "threads": 2},
    "seed": 11,
    "environment": {
        "use": "real2sim_pick_place",
        "objects": ["sample:bottle", "sample:duck"],
        "num_parallel_envs": 16,
        "max_episode_steps": 20,
        "start_state_share": 0.5,
        "start_state_until": 0.8,
    },
    "training": {"total_timesteps": 16 * 16 * UPDATES, "checkpoint_interval_s": 0},
    "evaluation": {"episodes": 16, "num_parallel_envs": 16, "video": False},
}
SMALL = {"num_steps": 16, "noise_correlation": 0.5, "hidden_sizes": [32]}
OFF_POLICY = {
    **SMALL,
    "batch_size": 64,
    "learning_starts": 512,
    "buffer_size": 1024,  # a third of what is collected
    "update_to_data_ratio": 2,
    "final_learning_rate": 0,
}
#: What remembers from step to step, within an episode or across them.
RANDOMIZED = {
    "environment": {**CONFIG["environment"], "action_history": 2},
    "randomization": {
        "mass": {"bodies": ["object"]},
        "push": {"bodies": ["object"], "force": [0.0, 1.0], "duration": 0.2},
        "sensor_delay": {"readings": ["object_*"], "delay": [0.0, 0.08], "jitter": 0.02},
        "action_delay": {"delay": [0.0, 0.08]},
    },
    "curriculum": {
        "randomization": {
            "push": {"over": 0.5},
            "action_delay": {"at_success": 0.01, "episodes": 60},
        }
    },
}
#: DDPG's loop, replay buffer and checkpoints are SAC's; what is its own, the kit saves and loads.
ALGORITHMS = {"ppo": SMALL, "sac": OFF_POLICY}


@pytest.fixture(scope="module", params=ALGORITHMS)
def config(request, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("resume") / "small.yaml"
    algorithms = {request.param: ALGORITHMS[request.param]}
    more = RANDOMIZED if request.param == "ppo" else {}
    path.write_text(yaml.safe_dump({**CONFIG, **more, "algorithms": algorithms}))
    return path


def start(config: Path, run_dir: Path, *arguments: str) -> subprocess.Popen[str]:
    r2s = str(Path(sys.executable).with_name("r2s"))
    command = [r2s, "run", str(config), "--output", str(run_dir)]
    return subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output + errors


def deterministic(run_dir: Path) -> list[list[str]]:
    """metrics.csv without what depends on the clock."""
    lines = (run_dir / "metrics.csv").read_text().splitlines()
    columns = lines[0].split(",")
    keep = [i for i, name in enumerate(columns) if name not in ("wall_s", "steps_per_second")]
    return [[line.split(",")[i] for i in keep] for line in lines]


def left_if_killed(process: subprocess.Popen[str], run_dir: Path, copy: Path) -> None:
    """Copy the run's folder as SIGKILL would leave it now, after five checkpoints.

    The process is stopped meanwhile, so that nothing is written, and then goes on: this saves a
    third run. r2s_core/tests/test_run.py really kills one.
    """
    deadline, seen = time.monotonic() + 240, set()
    while len(seen) < 5:
        assert time.monotonic() < deadline, "the run saved nothing"
        assert process.poll() is None, process.communicate()[1]
        seen |= {p.name for p in (run_dir / "checkpoints").glob("step-*")}
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    _, status = os.waitpid(process.pid, os.WUNTRACED)  # the signal takes a moment
    assert os.WIFSTOPPED(status)
    shutil.copytree(run_dir, copy)
    process.send_signal(signal.SIGCONT)


def test_killed_and_resumed_is_bit_exact(config, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start(config, whole)
    left_if_killed(process, whole, killed)
    finish(process)
    assert not (killed / "policy").exists()
    assert "Resuming at step" in finish(start(config, killed, "--resume"))

    expected = load_policy(whole).tensors
    for name, tensor in load_policy(killed).tensors.items():
        assert tensor.tobytes() == expected[name].tobytes(), name
    assert deterministic(killed) == deterministic(whole)
    results = [json.loads((folder / "result.json").read_text()) for folder in (whole, killed)]
    same = ("success_rate", "metrics", "mean_return", "env_steps", "training_episodes")
    assert [results[0][key] for key in same] == [results[1][key] for key in same]
    # And the training did something that could have differed.
    rows = deterministic(whole)
    assert len(rows) == 1 + UPDATES
    assert not np.array_equal(rows[1][1:], rows[-1][1:])
    levels = [i for i, name in enumerate(rows[0]) if "/level/" in name]
    assert bool(levels) is ("curriculum:" in config.read_text())
    assert not levels or any(rows[1][i] != rows[-1][i] for i in levels)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks into /proc")
def test_ctrl_c_while_jax_is_imported_ends_it_without_a_traceback(tmp_path):
    """Python's own KeyboardInterrupt may be lost in JAX's callback, and the run go on."""
    config = tmp_path / "small.yaml"
    config.write_text(yaml.safe_dump({**CONFIG, "algorithms": {"ppo": SMALL}}))
    process = start(config, tmp_path / "run")
    while "jaxlib" not in Path(f"/proc/{process.pid}/maps").read_text():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
    assert "Traceback" not in errors
