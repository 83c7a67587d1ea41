"""Schedules of a training."""

import jax.numpy as jnp

from r2s_algos_common.schedules import progress


def test_without_a_total_a_training_does_not_progress():
    assert progress(jnp.int32(7), 128, None) == 0.0


def test_it_stays_finished():
    assert progress(jnp.int32(99), 128, 256) == 1.0
