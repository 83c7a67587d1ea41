"""Rewards from outside, a plugin's and a plain function's, act in pick and place by their name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_core.config import load_config
from r2s_core.env.build import make_environment
from r2s_core.system.foreign import ForeignError

_FUNCTION = """
import jax.numpy as jnp

def near_goal(transition):
    return 1.0 - jnp.tanh(5.0 * transition.task.goal_distance)
"""

_CONFIG = """
backend: mujoco
environment:
  num_parallel_envs: 4
  rewards:
    reach: {}
    slow: {use: speed_limit, limit: 0.01, weight: 0.5}
    mine: {use: "rewards/mine.py:near_goal", weight: 2.0}
"""


def test_a_plugin_and_a_plain_function_are_terms_with_weights(tmp_path):
    (tmp_path / "rewards").mkdir()
    (tmp_path / "rewards" / "mine.py").write_text(_FUNCTION)
    (tmp_path / "x.yaml").write_text(_CONFIG)
    config = load_config(tmp_path / "x.yaml")
    # Neither trusted nor needed where nothing is learned: an evaluation runs nobody's functions.
    assert make_environment(config, training=False).rewards == {}  # type: ignore[attr-defined]
    env = make_environment(config, training=True, trust=True)
    state, _ = env.reset(jax.random.key(0))
    _, step = env.step(state, jnp.ones((4, env.spec.action_size)))
    terms = {name: np.asarray(term) for name, term in step.terms.items()}
    assert set(terms) == {"reach", "slow", "mine"}
    assert (terms["slow"] < 0).all()
    assert ((terms["mine"] > 0) & (terms["mine"] < 1)).all()
    expected = terms["reach"] + 0.5 * terms["slow"] + 2.0 * terms["mine"]
    np.testing.assert_allclose(step.reward, expected, rtol=1e-5)


def test_a_fault_in_a_plain_function_names_its_line_before_anything_is_built(tmp_path):
    (tmp_path / "rewards").mkdir()
    source = _FUNCTION.replace("goal_distance", "distance_to_goal")
    (tmp_path / "rewards" / "mine.py").write_text(source)
    (tmp_path / "x.yaml").write_text(_CONFIG)
    told = (
        r"reward 'mine' failed at .*mine.py:5 \(near_goal\): .*distance_to_goal.*task has goal\[3\]"
    )
    with pytest.raises(ForeignError, match=told):
        make_environment(load_config(tmp_path / "x.yaml"), training=True, trust=True)
