"""`template_name` keeps the contract, and stays within its range."""

import jax
import numpy as np
from r2s_core.testing import build_randomizer, check_randomizer
from r2s_core.testing.tasks import CartTask

OPTIONS = {"range": [0.5, 2.0]}


def test_it_keeps_the_contract():
    check_randomizer(lambda context: build_randomizer("template_name", CartTask(), OPTIONS))


def test_it_stays_within_its_range_and_uses_all_of_it():
    model = CartTask().scene().model
    randomizer = build_randomizer("template_name", CartTask(), OPTIONS)
    keys = jax.random.split(jax.random.key(0), 1000)
    nominal = np.asarray(model.dof_damping, np.float32)
    samples = jax.vmap(lambda key: randomizer(key, {"dof_damping": nominal})["dof_damping"])(keys)
    factors = np.asarray(samples)[:, 0] / nominal[0]
    assert 0.5 <= factors.min() < 0.52
    assert 1.97 < factors.max() <= 2.0
