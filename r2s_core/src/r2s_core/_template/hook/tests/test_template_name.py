"""`template_name` keeps the contract, and stops when it should."""

import math

import pytest
from r2s_core.testing import check_hook
from r2s_template_module.plugin import TemplateNameConfig

CONFIG = TemplateNameConfig(metric="success", patience=2, gain=0.1)


@pytest.fixture
def make(registry):
    """Builds the hook for a run's folder, as a user would get it."""
    return lambda run_dir: registry.build("hook", "template_name", CONFIG, run_dir)


def test_it_keeps_the_contract(make):
    check_hook(make)


@pytest.mark.parametrize(
    ("values", "stops"),
    [
        ([0.0, 0.5, 1.0, 1.5], False),
        ([0.5, 0.5, 0.5], True),
        ([0.5, 0.55, 0.59], True),  # growth within `gain` is none
        ([0.5, 0.4, 0.7, 0.6], False),  # a new best starts the count again
        ([0.5, 0.4, math.nan, math.nan], False),  # updates in which no episode ended
        ([0.5, 0.4, math.nan, 0.3], True),
    ],
)
def test_it_stops_after_its_patience_without_progress(make, tmp_path, values, stops):
    hook = make(tmp_path)
    hook.r2s_run_start(step=0)
    assert [hook.r2s_metrics(metrics={"success": value}) for value in values][-1] == stops


def test_a_metric_that_is_never_measured_does_not_stop_anything(make, tmp_path):
    hook = make(tmp_path)
    assert not any(hook.r2s_metrics(metrics={"loss": 1.0}) for _ in range(10))
