"""The replay buffer in a run: what is said of it, what is saved, when learning starts."""

import dataclasses
import types
from typing import Any

import chex
import jax
import numpy as np
import pytest

from r2s_algos_sac.config import SACConfig
from r2s_algos_sac.train import make
from r2s_core.errors import ConfigError
from r2s_core.record import checkpoint
from r2s_core.record.history import History
from r2s_core.system.run_files import CHECKPOINTS
from r2s_core.testing.environments import point_mass
from r2s_core.training import loop

CONFIG = SACConfig(
    hidden_sizes=(8,), num_steps=4, batch_size=16, learning_starts=64, buffer_size=256
)


@pytest.fixture(scope="module")
def sac():
    """On a point mass, compiled once for all."""
    return make(point_mass(8), CONFIG)


def _trained(sac, updates):
    """A learner, and the metrics of every update."""
    learner, rows = sac.init(jax.random.key(0)), []
    for _ in range(updates):
        learner, metrics = sac.update(learner)
        rows.append(metrics)
    return learner, {name: np.stack([row[name] for row in rows]) for name in rows[0]}


@pytest.mark.parametrize("whole", [True, False])
def test_a_buffer_is_saved_by_choice(sac, tmp_path, whole, monkeypatch):
    monkeypatch.setattr(sac, "config", dataclasses.replace(CONFIG, checkpoint_buffer=whole))
    learner, _ = _trained(sac, 6)
    saved: Any = sac.saved(learner)
    meta = loop.SavedTraining(192, 1.0, 0.5, History().saved(), configuration={})
    checkpoint.save(tmp_path / CHECKPOINTS, saved, dataclasses.asdict(meta), step=192)
    notes: list[str] = []
    total = types.SimpleNamespace(total_timesteps=1000)
    config: Any = types.SimpleNamespace(seed=3, algorithm="sac", resolved=dict, training=total)
    found = loop.start(sac, config, tmp_path, True, notes.append)
    again = found.learner
    chex.assert_trees_all_equal(again.agent.networks, learner.agent.networks)
    assert int(again.replay.filled) == (24 if whole else 0)
    assert any("replay buffer" in note for note in notes) is not whole
    _, metrics = sac.update(again)
    assert bool(np.isfinite(metrics["loss/critic"])) is whole  # else it waits for learning_starts


def test_learning_starts_with_enough_to_learn_from(sac):
    """With what the buffer held before the update: 64 transitions, which the third one finds."""
    _, metrics = _trained(sac, 5)
    np.testing.assert_array_equal(metrics["replay/transitions"], [32, 64, 96, 128, 160])
    np.testing.assert_array_equal(
        np.isfinite(metrics["loss/critic"]), [False, False, True, True, True]
    )


def test_what_the_buffer_takes_is_said_and_must_be_there(sac):
    assert sac.notes == ("replay buffer: 256 transitions, 6.91 kB",)
    with pytest.raises(ConfigError, match=r"algorithms.sac.buffer_size: .* memory is free"):
        make(point_mass(8), dataclasses.replace(CONFIG, buffer_size=10**12))
