"""A policy's success under perturbations: the grid file, what is played, the page."""

import dataclasses
import json
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import r2s_core.env.build
from r2s_core import cli
from r2s_core.config import load_mapping
from r2s_core.errors import ConfigError, R2SError
from r2s_core.evaluation.robustness import measure_robustness
from r2s_core.evaluation.robustness.grid import chosen, read_grid
from r2s_core.evaluation.robustness.measure import _applicable, _line, difference, summary
from r2s_core.evaluation.robustness.page import write_heat_map
from r2s_core.training.trainer import Real2SimTrainer

SOURCE = Path(__file__).with_name("tiny_plugin.py")
POINTS = {
    "r2s.environments": {"touch": "tiny_plugin:ENVIRONMENT"},
    "r2s.algorithms": {"climb": "tiny_plugin:ALGORITHM"},
    "r2s.randomizers": {"shake": "shaking:SHAKE"},
}
SHAKING = """
import dataclasses
from r2s_core.plugin import Plugin, option

@dataclasses.dataclass(frozen=True)
class Shake:
    size: float = option(0.0, "how much")

SHAKE = Plugin("shake", "randomizer", "Nothing, really", "shaking:none", Shake)
"""
GRID = """
finer:
  for: state
  unit: x
  values: [0.5, 0.25]
  changes: {environment.physics.timestep_factor: $}
late:
  unit: ms
  scale: 0.001
  values: [20]
  changes: {randomization.no_such_thing: {delay: [$, $]}}
both:
  cases:
    mild: {environment.physics.timestep_factor: 0.5}
moved:
  for: cameras
  unit: cm
  values: [1, 2]
  changes: {environment.physics.timestep_factor: 0.5}
elsewhere:
  values: [mujoco, mjx]
  changes: {backend: $}
"""


def grid(tmp_path, text):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    return path


def test_values_are_put_in_and_scaled(tmp_path):
    cases = read_grid(grid(tmp_path, GRID))
    assert [(c.perturbation, c.label) for c in cases] == [
        ("finer", "x 0.5"),
        ("finer", "x 0.25"),
        ("late", "20 ms"),
        ("both", "mild"),
        ("moved", "1 cm"),
        ("moved", "2 cm"),
        ("elsewhere", "mujoco"),
        ("elsewhere", "mjx"),
    ]
    assert [c.applies_to for c in cases] == [
        *("state", "state", None, None, "cameras", "cameras", None, None)
    ]
    assert cases[1].overrides == ("environment.physics.timestep_factor=0.25",)
    assert cases[2].overrides == ('randomization.no_such_thing={"delay": [0.02, 0.02]}',)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "found none"),
        ("a: {for: eyes, values: [1], changes: {k: $}}", "give cameras or state"),
        ("a: {for: [x], values: [1], changes: {k: $}}", "give cameras or state"),
        ("a: {values: [x], scale: 2, changes: {k: $}}", "must be finite numbers"),
        ("a: {values: [1], scale: x, changes: {k: $}}", "must be finite numbers"),
        ("a: {values: [true], scale: 2, changes: {k: $}}", "must be finite numbers"),
        ("a: {values: [.nan], scale: 2, changes: {k: $}}", "must be finite numbers"),
        ("a: {values: [[1]], scale: 2, changes: {k: $}}", "must be finite numbers"),
        (f"a: {{values: [{10**400}], scale: 0.5, changes: {{k: $}}}}", "grid.yaml"),
        (f"a: {{values: {[1] * 1001}, changes: {{k: $}}}}", "1,001 cases"),
        ("a: {cases: {}}", "expected changes by the name of each case"),
        ("a: {cases: {b: []}}", "must give keys"),
        ("a: {values: {b: 1}, changes: {k: $}}", "must be a list"),
        ("a: 3", "expected only the keys"),
        ("- a", "expected keys and values at the top"),
        ("{}", "found none"),
        ("a: {values: [1]}", "grid.yaml: a: `changes` must give keys"),
        ("a: {changes: {seed: $}}", "`values` must be a list"),
        ("a: {value: [1]}", "expected only the keys"),
        ("a: [", "not valid YAML"),
        ("a: {cases: {b: {}}}", "`changes` must give keys"),
    ],
)
def test_a_grid_that_says_nothing_is_refused(tmp_path, text, complaint):
    with pytest.raises(ConfigError, match=complaint):
        read_grid(grid(tmp_path, text))
    with pytest.raises(ConfigError, match=r"none\.yaml: no such file"):
        read_grid(tmp_path / "none.yaml")


@pytest.fixture
def run_dir(tmp_path, install, monkeypatch):
    """A finished run of the tiny task, whose dot is seen the nearer to 0 the finer physics is."""
    install("tiny-task", POINTS, {"tiny_plugin": SOURCE.read_text(), "shaking": SHAKING})
    from tiny_plugin import touch  # type: ignore[import-not-found]

    def make_environment(config, num_worlds, *, training):
        env, factor = touch(num_worlds), config.environment.engine.physics.timestep_factor
        reset, step = env.reset, env.step

        def seen(obs):
            return {"policy": jnp.asarray(obs["policy"]) * factor}

        def reset_off(key):
            state, obs = reset(key)
            return state, seen(obs)

        def step_off(state, action):
            state, moved = step(state, action)
            return state, dataclasses.replace(moved, obs=seen(moved.obs))

        env.reset, env.step = reset_off, step_off
        return env

    monkeypatch.setattr(r2s_core.env.build, "make_environment", make_environment)
    monkeypatch.setattr(
        "r2s_core.evaluation.robustness.measure._grid_of", lambda config: grid(tmp_path, GRID)
    )
    config = {
        "name": "tiny",
        "output": str(tmp_path / "tiny"),
        "backend": "mujoco",
        "environment": {"use": "touch", "num_parallel_envs": 64},
        "training": {"total_timesteps": 6400},
        "evaluation": {"episodes": 64, "num_parallel_envs": 64},
        "algorithms": {"climb": {}},
    }
    Real2SimTrainer(config).train()
    return tmp_path / "tiny"


def test_the_grid_that_the_page_shows(tmp_path):
    page = (Path(__file__).parents[2] / "docs/extending.md").read_text()
    shown = page[page.index("## Perturbations of your own") :]
    (tmp_path / "grid.yaml").write_text(shown.partition("```yaml\n")[2].partition("```")[0])
    cases = read_grid(tmp_path / "grid.yaml")
    assert [case.label for case in cases] == ["x 0.5", "x 2.0", "20 ms", "50 ms", CAMERAS]
    assert cases[2].overrides == ('randomization.action_delay={"delay": [0.02, 0.02]}',)
    assert [case.applies_to for case in cases] == [None] * 4 + ["cameras"]
    assert chosen(cases, ["mass", "cam*"]) == [*cases[:2], cases[4]]
    assert chosen(cases, []) == cases
    with pytest.raises(ConfigError, match=r"--only masses: .* did you mean mass"):
        chosen(cases, ["masses"])


CAMERAS = "1 cm and 2 degrees"


def test_every_case_is_played_and_told(run_dir, capsys):
    result = measure_robustness(run_dir, episodes=128)
    rows = {f"{r['perturbation']} {r['label']}".strip(): r for r in result["cases"]}
    assert rows["none"]["success_rate"] > 0.9
    assert rows["none"]["episodes"] == 128
    # Half of the way to the dot is a success where it is within 0.4; a quarter, within 0.27.
    assert 0.1 < rows["finer x 0.25"]["success_rate"] < rows["finer x 0.5"]["success_rate"] < 0.8
    assert "no_such_thing" in rows["late 20 ms"]["not_played"]
    assert "the backend of the other cases" in rows["elsewhere mujoco"]["not_played"]
    names = ("finer x 0.5", "finer x 0.25", "both mild", "elsewhere mjx")
    played = [rows[name]["success_rate"] for name in names]
    assert result["mean_success"] == pytest.approx(sum(played) / 4)
    low, high = result["mean_success_ci95"]
    assert low < result["mean_success"] < high
    for name, row in rows.items():
        if name in names:
            low, high = row["difference_ci95"]
            assert low < row["difference"] < high
            change = row["success_rate"] - rows["none"]["success_rate"]
            assert row["difference"] == pytest.approx(change)
    change = result["mean_success"] - result["nominal_success"]
    assert result["mean_difference"] == pytest.approx(change)
    assert result["mean_difference_ci95"][0] < change < result["mean_difference_ci95"][1]
    assert json.loads((run_dir / "robustness.json").read_text())["played"] == 4
    page = (run_dir / "robustness.html").read_text()
    assert page.count('<td style="background: rgb(var(--') == 4
    assert "64 of each case" not in page
    assert "128 of each case" in page
    assert page.index("finer") < page.index("elsewhere")  # the worst row first
    assert "Not played: late 20 ms" in page
    assert not re.search(r"(src|href)=\"http", page)
    unfit = "Not played: moved 1 cm, 2 cm: the policy has no cameras"
    assert unfit in page
    assert {r["not_played"] for r in result["cases"] if r["perturbation"] == "moved"} == {
        "the policy has no cameras"
    }
    told = [line for line in capsys.readouterr().err.splitlines() if ": " in line]
    told.remove(unfit)
    assert re.fullmatch(r"finer x 0\.5: .*\)  \d+:\d\d left", told[0])
    assert not any("left" in line for line in told[-2:])


@pytest.mark.parametrize("seeing", [True, False])
def test_what_a_policy_does_not_read_is_not_played(tmp_path, seeing):
    cameras = {"front": {"position": [1, 0, 1], "look_at": [0, 0, 0]}} if seeing else {}
    config = load_mapping({"environment": {"cameras": cameras}})
    cases, left_out = _applicable(read_grid(grid(tmp_path, GRID)), config)
    out = {row["perturbation"] for row in left_out}
    assert out == ({"finer"} if seeing else {"moved"})
    assert out.isdisjoint(case.perturbation for case in cases)
    assert len(cases) + len(left_out) == 8


def test_failed_physics_is_told(tmp_path):
    row = {
        "perturbation": "cones",
        "label": "flat",
        "success_rate": 0.5,
        "success_ci95": [0.4, 0.6],
        "episodes": 100,
        "diverged_episodes": 7,
    }
    nominal = row | {"perturbation": "none", "diverged_episodes": 0}
    compared = {"difference": 0.0, "difference_ci95": [-0.1, 0.12]}
    page = page_of(tmp_path, [nominal, row | compared])
    assert "cones flat: the physics failed in 7 of 100 episodes" in page
    assert page.count("physics failed") == 1
    assert page.count("±0 points<br>\N{MINUS SIGN}10.0 to +12.0</small>") == 1
    assert page.count('title="100 episodes; success 95 % interval 40.0 to 60.0 %"') == 1
    worse = row | {"difference": -0.021, "difference_ci95": [-0.1, 0.0]}
    assert ": 50.0% (40.0% to 60.0%), -2.1 points (-10.0 to +0.0); the" in _line(worse)
    assert _line(row) == "cones flat: 50.0% (40.0% to 60.0%); the physics failed in 7 of 100"
    assert "failed" not in _line(nominal)


def page_of(tmp_path, rows, **more):
    result = {
        **{"name": "a", "algorithm": "b", "trained_with": ["mass"], "cases": rows},
        **{"object": "duck", "seed": 3, "episodes": 100, "finished_at": "2026-01-02T03:04:05"},
    }
    played = [np.asarray([0.0, 1.0] * 50)] * sum("success_rate" in row for row in rows)
    result |= summary(rows, played[1:], played[0]) | more
    write_heat_map(tmp_path / "page.html", result, "runs/a b")
    return (tmp_path / "page.html").read_text()


def case(name, label, rate, *changes):
    interval = [max(0.0, rate - 0.05), min(1.0, rate + 0.05)]
    row = {"perturbation": name, "label": label, "success_rate": rate, "success_ci95": interval}
    row |= {"difference": rate - 0.98, "difference_ci95": [rate - 1.0, rate - 0.95]}
    return row | {"episodes": 100, "diverged_episodes": 0, "changes": list(changes)}


def test_the_page_says_where_it_is_weak_and_what_to_add(tmp_path):
    rows = [
        case("none", "", 0.98),
        case("friction", "x 0.5", 0.96, "randomization.friction={}"),
        case("mass", "x 2", 0.88, "randomization.mass={}"),
        case("late", "20 ms", 0.97, "randomization.action_delay={}"),
        case("late", "50 ms", 0.48, "randomization.action_delay={}"),
        case("step", "x 0.5", 0.90, "environment.physics.timestep_factor=0.5"),
        case("unseen", "pear", 0.90, 'environment.objects=["pear"]'),
    ]
    page = page_of(tmp_path, rows)
    names = [">late<", ">mass<", ">step<", ">unseen<", ">friction<"]
    assert sorted(names, key=page.index) == names
    assert "<code>randomization: action_delay</code>" in page
    assert "trained with mass: widen" in page
    assert "environment.objects" in page
    assert "<code>randomization: friction" not in page  # 2 points are not worth it
    assert "\N{MINUS SIGN}50.0 points" in page
    assert "r2s info randomizer:action_delay" in page
    assert "r2s eval &#39;runs/a b&#39; --robustness" in page
    for fact in ("duck", "2026-01-02 03:04", "100 of each case"):
        assert fact in page


def test_nothing_in_a_heat_map_is_obeyed(tmp_path):
    evil = '"><script>alert(1)</script>\x1b[2J'
    rows = [case("none", "", 0.9), case(evil, evil, 0.1, f"randomization.{evil}=1")]
    rows.append({"perturbation": evil, "label": evil, "not_played": evil})
    page = page_of(tmp_path, rows, name=evil, object=evil, algorithm=evil, trained_with=[evil])
    assert "<script" not in page
    assert "\x1b" not in page


def test_the_command_line(run_dir, capsys, tmp_path):
    assert cli.main(["eval", str(run_dir), "--robustness", "--episodes", "64"]) == 0
    assert "mean success over 4 cases" in capsys.readouterr().err
    assert cli.main(["eval", str(run_dir), "--grid", "x.yaml"]) == 2
    assert "--grid only applies with --robustness" in capsys.readouterr().err
    assert cli.main(["eval", str(run_dir), "--robustness", "--failures"]) == 2
    assert "--failures does not apply with --robustness" in capsys.readouterr().err
    own = grid(
        tmp_path, "finer: {values: [0.5], changes: {environment.physics.timestep_factor: $}}"
    )
    command = ["eval", str(run_dir), "--robustness", "--episodes", "64", "--grid", str(own)]
    assert cli.main(command) == 0
    assert "mean success over 1 cases" in capsys.readouterr().err
    assert cli.main(["eval", str(tmp_path), "--robustness"]) == 1


def test_nothing_to_play_is_an_error_with_the_reasons():
    nominal = {"success_rate": 0.9, "success_ci95": [0.8, 1.0], "episodes": 10}
    with pytest.raises(R2SError, match="needs a package"):
        summary([nominal, {"perturbation": "a", "not_played": "needs a package"}], [], np.ones(2))


def test_the_interval_of_the_mean_covers_the_truth_though_cases_share_their_starts():
    """Of 400 policies tried on 128 starts under 20 cases, where hard starts are hard in each."""
    rng = np.random.default_rng(0)
    hard = rng.normal(size=(400, 128, 1))
    chance = 1 / (1 + np.exp(-(2.0 + np.linspace(1, -2, 20) - 2.0 * hard)))
    success = (rng.random(chance.shape) < chance).astype(float)  # [policies, starts, cases]
    truth, covered = chance.mean(), 0
    paired, paired_mean, width = 0, 0, []
    for policy in success:
        rows = [
            {"success_rate": x, "success_ci95": [0, 1], "episodes": 128} for x in policy.T.mean(1)
        ]
        cases = list(policy.T)
        found = summary([rows[0], *rows], cases, cases[0])
        assert found["mean_success"] == pytest.approx(policy.mean())
        low, high = found["mean_success_ci95"]
        covered += low <= truth <= high
        low, high = found["mean_difference_ci95"]
        paired_mean += low <= truth - chance[..., 0].mean() <= high
        low, high = difference(cases[10], cases[0], 128, 128)["difference_ci95"]
        paired += low <= (chance[..., 10] - chance[..., 0]).mean() <= high
        width.append(high - low)
    assert 0.93 < covered / 400 < 0.975  # as if cases were independent it was 0.5
    assert 0.93 < paired / 400 < 0.985
    assert 0.93 < paired_mean / 400 < 0.985
    rates = np.array([chance[..., 10].mean(), chance[..., 0].mean()])
    apart = 2 * 1.96 * np.sqrt((rates * (1 - rates) / 128).sum())  # as from different starts
    assert np.mean(width) < 0.9 * apart


def test_a_randomization_that_the_user_asks_for_stays_in_every_case(run_dir, monkeypatch):
    made = []
    make = r2s_core.env.build.make_environment

    def noting(config, *arguments, **more):
        made.append(dict(config.randomization))
        return make(config, *arguments, **more)

    monkeypatch.setattr(r2s_core.env.build, "make_environment", noting)
    measure_robustness(run_dir, 64, overrides=["randomization.shaky={use: shake, size: 0.1}"])
    assert len(made) == 5
    assert all(randomization["shaky"].options.size == 0.1 for randomization in made)
