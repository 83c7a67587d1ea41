"""What algorithms refuse, and what they tell of what was not measured."""

import dataclasses

import numpy as np
import pytest

from r2s_algos_common.checks import critic_groups, finite_metrics
from r2s_core.errors import ConfigError
from r2s_core.testing.environments import point_mass
from r2s_core.types import ArraySpec


@pytest.mark.parametrize("low", [1.0, 2.0, -np.inf, np.nan])
def test_action_bounds_that_are_no_range_are_refused_before_training(low):
    spec = point_mass(2).spec
    spec = dataclasses.replace(spec, action_low=np.full_like(spec.action_low, low))
    with pytest.raises(ConfigError, match="with low below high"):
        critic_groups(spec, "auto", "ppo")


def test_a_critic_reads_numbers_or_all_that_the_policy_reads():
    numbers, image = ArraySpec((2,)), ArraySpec((8, 8, 3), "uint8")
    spec = dataclasses.replace(
        point_mass(2).spec, observations={"policy": numbers, "eye": image, "critic": numbers}
    )
    found = {x: critic_groups(spec, x, "sac") for x in ("auto", "policy", "critic", "images")}
    both = ("policy", "eye")
    assert found == {
        "auto": ("critic",),
        "policy": ("policy",),
        "critic": ("critic",),
        "images": both,
    }
    alone = dataclasses.replace(spec, observations={"policy": numbers, "eye": image})
    assert critic_groups(alone, "auto", "sac") == both
    with pytest.raises(ConfigError, match="sac: the environment has no observation group 'critic'"):
        critic_groups(alone, "critic", "sac")
    seeing = dataclasses.replace(spec, observations={"policy": numbers, "critic": image})
    assert seeing.policy_groups == ("policy",)
    with pytest.raises(ConfigError, match="'critic' is an image, but sac's critic reads numbers"):
        critic_groups(seeing, "auto", "sac")


def test_episodes_that_did_not_end_have_no_mean():
    """Of two updates, the first of which ended none."""
    zero, count = np.zeros(2, np.float32), np.asarray([0.0, 3.0], np.float32)
    metrics = {"finite": np.ones(2), "episode/count": count, "episode/return": zero, "kl": zero}
    told = finite_metrics(metrics, "rate")
    assert set(told) == {"episode/count", "episode/return", "kl"}
    np.testing.assert_array_equal(told["episode/return"], [np.nan, 0.0])
    np.testing.assert_array_equal(told["episode/count"], count)
