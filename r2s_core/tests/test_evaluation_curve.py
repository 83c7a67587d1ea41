"""`evaluation.curve_points`: the policy is judged as it trains, and training is none the wiser."""

import csv
import math
import signal
import time

import jax
import numpy as np
import pytest

from r2s_core.config import load_config
from r2s_core.evaluation.curve import EvaluationCurve
from r2s_core.evaluation.evaluate import episodes_key
from r2s_core.record.history import EVALUATED, History
from r2s_core.system.signals import RunInterrupted

CURVE = {"evaluation": {"curve_points": 4, "curve_episodes": 100}}


def measured(tiny):
    """step -> eval/success, of the rows of metrics.csv that have it."""
    with (tiny.run_dir / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {int(row["step"]): float(row[EVALUATED]) for row in rows if row[EVALUATED]}


def test_points_lie_evenly_and_measure_what_the_final_evaluation_does(tiny):
    result = tiny.run(**CURVE)

    curve = measured(tiny)
    assert list(curve) == [1600, 3200, 4800, 6400]  # of 6,400 steps in updates of 64
    # The last point judges the delivered policy, on other episodes than the final evaluation.
    assert curve[6400] == pytest.approx(result["success_rate"], abs=0.1)
    report = (tiny.run_dir / "report.html").read_text()
    assert "Success of the deterministic policy" in report


def test_training_is_bit_for_bit_the_same_with_and_without(tiny):
    tiny.run()
    weights, metrics = tiny.weights(), tiny.metrics()
    tiny.run(**CURVE)

    for name, tensor in tiny.weights().items():
        np.testing.assert_array_equal(tensor, weights[name])
    assert [row[:-1] for row in tiny.metrics()] == metrics  # the last column is the curve


def test_its_time_is_not_training_time(tiny, monkeypatch):
    measure = EvaluationCurve.measure

    def dawdling(*arguments):
        time.sleep(0.5)
        return measure(*arguments)

    monkeypatch.setattr(EvaluationCurve, "measure", dawdling)
    result = tiny.run(**CURVE)
    with (tiny.run_dir / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    seconds = [float(row["wall_s"]) for row in rows]
    speeds = [float(row["steps_per_second"]) for row in rows]
    assert result["total_s"] - result["wall_clock_s"] > 4 * 0.5
    # No update after the first took as long as an evaluation, by either account.
    assert max(np.diff(seconds)) < 0.4
    assert min(speeds[1:]) > 64 / 0.4
    assert result["wall_clock_s"] == pytest.approx(seconds[-1], abs=1e-3)


def test_a_resumed_run_measures_the_very_same_curve(tiny, monkeypatch):
    tiny.run(**CURVE)
    whole = tiny.metrics()

    tiny.signal_at(30, signal.SIGTERM, monkeypatch)
    with pytest.raises(RunInterrupted, match="Stopped at 1,920"):
        tiny.run(**CURVE)
    monkeypatch.undo()
    monkeypatch.syspath_prepend(tiny.package)
    tiny.run(resume=True, **CURVE)
    assert tiny.metrics() == whole
    assert list(measured(tiny)) == [1600, 3200, 4800, 6400]


def test_the_environment_is_made_once_for_evaluation_and_only_if_needed(tiny):
    made = []

    def make_env(config, num_worlds, training):
        from tiny_plugin import touch  # type: ignore[import-not-found]

        made.append((num_worlds, training))
        return touch(num_worlds, host_driven=False)

    from tiny_plugin import Climb, ClimbConfig  # type: ignore[import-not-found]

    curve = EvaluationCurve(load_config(tiny.write(**CURVE)), make_env)
    assert made == []
    env = make_env(None, 8, True)
    algorithm = Climb(env, ClimbConfig(total_timesteps=1))
    policies = [algorithm.init(jax.random.key(seed)) for seed in (0, 1)]
    exports = [algorithm.export(learner) for learner in policies]
    rates = [curve.measure(exports[i], env.spec, 1)[EVALUATED] for i in (0, 1, 0)]
    assert made[1:] == [(64, False)]
    assert rates[0] == rates[2]  # the point decides the episodes
    assert rates[0] != rates[1]  # and the weights the actions, compiled once as they are


def test_no_point_shares_a_random_key_with_the_final_evaluation(tiny):
    """Nor a key that its episodes are split into."""
    config = load_config(tiny.write(**CURVE))

    def family(key, depth=2):
        own = {np.asarray(jax.random.key_data(key)).tobytes()}
        children = jax.random.split(key, 8) if depth else ()
        return own.union(*(family(child, depth - 1) for child in children))

    families = [family(episodes_key(config, point)) for point in (None, 1, 2, 3)]
    assert len(set().union(*families)) == sum(map(len, families))


@pytest.mark.parametrize(
    ("before", "after", "point"),
    [(0, 100, None), (0, 1600, 1), (1600, 3199, None), (1500, 3300, 2), (6399, 6463, 4)],
)
def test_a_point_is_due_in_the_update_that_reaches_it(tiny, before, after, point):
    curve = EvaluationCurve(load_config(tiny.write(**CURVE)), lambda *_: None)  # type: ignore[arg-type,return-value]
    assert curve.point(before, after) == point


def test_a_thinned_history_keeps_the_curve():
    history = History()
    for step in range(1, 5001):
        history.append({"step": step} | ({EVALUATED: 0.5} if step % 501 == 0 else {}))
    assert len(history.rows) <= 2010
    assert [step for step, _ in history.column(EVALUATED)] == [501 * k for k in range(1, 10)]
    assert all(math.isfinite(value) for _, value in history.column(EVALUATED))
