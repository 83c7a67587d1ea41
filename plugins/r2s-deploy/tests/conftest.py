"""A bundle of a policy with drawn weights, which nobody trained."""

import jax
import numpy as np
import pytest

from r2s_core import registry
from r2s_core.config import load_mapping
from r2s_core.env.build import wrap_task
from r2s_core.policy.saved import as_saved
from r2s_core.policy_export import Layer, PolicyExport
from r2s_export import parity, write

OBSERVATIONS = ["pose", "joints", "alignment", "grasp"]


def drawn_policy(env, name="real2sim_pick_place"):
    """A small network of random weights over the environment's observations."""
    size, actions = env.spec.observations["policy"].shape[0], env.spec.action_size
    rng = np.random.default_rng(0)

    def dense(inputs, outputs, scale):
        kernel = scale * rng.normal(size=(inputs, outputs)) / inputs**0.5
        return {"kernel": kernel.astype(np.float32), "bias": np.zeros(outputs, np.float32)}

    statistics = {
        "mean": np.zeros(size, np.float32),
        "std": np.full(size, 0.5, np.float32),
    }
    layers = (
        Layer("normalised", "normalise", ("policy",), {"clip": 10.0}, statistics),
        Layer("hidden", "dense", ("normalised",), {}, dense(size, 16, 1.0)),
        Layer("active", "activation", ("hidden",), {"function": "elu"}),
        Layer("raw", "dense", ("active",), {}, dense(16, actions, 0.3)),
        Layer("squashed", "squash", ("raw",), {"function": "clip"}),
    )
    return as_saved(PolicyExport(layers), env.spec, task=name)


def environment(worlds=16, **options):
    options = {"observations": OBSERVATIONS, "action_space": "ee_delta", **options}
    config = load_mapping({"backend": "mujoco", "environment": options})
    use = config.environment
    task = registry.build("environment", use.use, use.options)
    return wrap_task(task, config, worlds, training=False)


@pytest.fixture(scope="session")
def bundle_dir(tmp_path_factory):
    """Of a policy that reads two past actions too."""
    env = environment(action_history=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "LEAST", 512)
        folder = tmp_path_factory.mktemp("bundles") / "made"
        write.export_policy(drawn_policy(env), env, "real2sim_pick_place", folder, False)
    jax.clear_caches()
    return folder
