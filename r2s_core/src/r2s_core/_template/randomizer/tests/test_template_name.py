"""`template_name` keeps the contract, and stays within its range."""

import jax
import numpy as np
from r2s_core.testing import check_randomizer
from r2s_core.testing.tasks import CartTask
from r2s_template_module.plugin import TemplateNameConfig


def _make(registry):
    config = TemplateNameConfig(range=(0.5, 2.0))
    return lambda model: registry.build("randomizer", "template_name", config, model)


def test_it_keeps_the_contract(registry):
    check_randomizer(_make(registry))


def test_it_stays_within_its_range_and_uses_all_of_it(registry):
    model = CartTask().scene().model
    randomizer = _make(registry)(model)
    keys = jax.random.split(jax.random.key(0), 1000)
    nominal = np.asarray(model.dof_damping, np.float32)
    samples = jax.vmap(lambda key: randomizer(key, {"dof_damping": nominal})["dof_damping"])(keys)
    factors = np.asarray(samples)[:, 0] / nominal[0]
    assert 0.5 <= factors.min() < 0.52
    assert 1.97 < factors.max() <= 2.0
