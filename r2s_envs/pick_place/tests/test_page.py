"""docs/pick_and_place.md says what the task does."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from r2s_core.config import load_mapping
from r2s_core.env.camera_rig import images_of, seen_by
from r2s_core.evaluation.episodes import DIVERGED
from r2s_core.task_info import failure_name
from r2s_envs_pick_place.config import OBSERVATIONS, PickPlaceConfig
from r2s_envs_pick_place.scene import pick_object
from r2s_envs_pick_place.task.failure import AWAY, FAILURES
from r2s_envs_pick_place.task.observation import observation_names
from r2s_envs_pick_place.task.pick_place import PickPlace
from r2s_envs_pick_place.task.state import (
    CLEAR,
    GOAL_RADIUS,
    HOLD_STEPS,
    LIFTED,
    LOST_STEPS,
    REACHED,
    TIGHT_RADIUS,
)
from r2s_envs_robots.control import GRIPPER_THRESHOLD

PAGE = (Path(__file__).parents[3] / "docs/pick_and_place.md").read_text()


def _section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def _rows(title: str) -> list[list[str]]:
    lines = [line for line in _section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.fixture(scope="module")
def task() -> PickPlace:
    return PickPlace(PickPlaceConfig(), pick_object.box())


def test_observations_and_their_sizes_are_the_code_s():
    table = {part.strip("`"): int(number) for part, number, _ in _rows("Observations")}
    names = observation_names(7)
    assert table == {part: len(names[part]) for part in OBSERVATIONS}


def test_the_cameras_of_the_page_can_be_placed(task):
    """Its `wrist` is the task's own, and it says what the policy feels."""
    [example] = re.findall(r"```yaml\n(.*?)```", _section("Cameras"), re.DOTALL)
    environment = {"use": "real2sim_pick_place", **yaml.safe_load(example)["environment"]}
    engine = load_mapping({"environment": environment, "algorithms": {"ppo": {}}}).environment
    seen = seen_by(engine.engine, task, task.scene())
    assert list(images_of(seen)) == ["wrist", "above", "above_depth"]
    cameras = seen.cameras
    own = task.info.cameras["wrist"]
    np.testing.assert_allclose(cameras["wrist"].quaternion, own.quaternion, atol=1e-6)
    for field in ("position", "field_of_view", "mount"):
        assert getattr(cameras["wrist"], field) == getattr(own, field)
    felt = _section("Cameras").split("robot feels:")[1].split("nothing")[0]
    numbers = sum(map(int, re.findall(r"\b(\d+)\b", felt)))
    assert numbers == len(task.info.observation_names["proprioception"])


def test_kinds_of_failure_are_the_code_s():
    table = {kind: meaning for kind, meaning in _rows("Start and end")}
    known = dict.fromkeys(name for kinds in FAILURES.values() for name in kinds)
    assert {failure_name(kind) for kind in known} | {DIVERGED} == set(table)
    for centimetres, kind in (
        (AWAY, "knocked away"),
        (REACHED, "never reached"),
        (CLEAR, "dropped"),
    ):
        assert f"{100 * centimetres:g} cm" in table[kind]
    for kind in ("slipped", "not lifted"):
        assert f"{100 * LIFTED:g} cm" in table[kind]
    assert f"last {HOLD_STEPS} control steps" in table["off goal"]
    assert "lost\nafter three control steps without" in _section("Start and end")
    assert LOST_STEPS == 3


def test_rewards_are_the_code_s(task):
    table = {term.strip("`"): float(weight) for term, weight, _ in _rows("Rewards")}
    assert table == {n: pytest.approx(w, abs=6e-4) for n, w in task.info.rewards.items()}
    placing = PickPlace(PickPlaceConfig(goal="place"), pick_object.box()).info.rewards
    assert placing is not None
    changed = {n: w for n, w in placing.items() if w != task.info.rewards.get(n)}
    assert changed == {
        "lift": pytest.approx(0.333, abs=6e-4),
        "release": pytest.approx(0.222, abs=6e-4),
    }


def test_rates_actions_and_radii_are_the_code_s(task):
    scene = task.scene()
    assert (scene.model.opt.timestep, scene.substeps, task.info.episode_steps) == (0.012, 4, 80)
    assert 1 / scene.control_dt == pytest.approx(20.8, abs=0.05)
    assert 80 * scene.control_dt == pytest.approx(3.84)
    pace = task.robot.pace
    assert (pace.ee, pace.ee_yaw, pace.joint, pace.max_lead) == (0.05, 0.2, 0.1, 0.2)
    assert GRIPPER_THRESHOLD == 0.5
    named = set(re.findall(r"`(\w+)`", _section("Actions")))
    for names in task.robot.action_names.values():
        assert set(names) - {f"joint{i}" for i in range(2, 7)} <= named
    assert (GOAL_RADIUS, TIGHT_RADIUS, HOLD_STEPS) == (0.05, 0.025, 10)
