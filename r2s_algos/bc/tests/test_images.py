"""Behaviour cloning from images: it learns what is seen, keeps bytes, exports what it learned."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_algos_bc.config import BCConfig
from r2s_algos_bc.train import BC
from r2s_algos_common.encoders.config import Augmentation, ImageEncoder
from r2s_core import cli
from r2s_core.errors import ConfigError
from r2s_core.policy.saved import load_policy, save_policy
from r2s_core.testing.environments import (
    HostDriven,
    Seen,
    WithDemonstrations,
    WithExpert,
    bandit,
    point_mass,
    push_to_the_middle,
    recorded,
)

SMALL = BCConfig(
    num_steps=16,
    batch_size=64,
    num_batches=20,
    learning_rate=5e-3,
    hidden_sizes=(32,),
    buffer_size=8_192,
    total_timesteps=64 * 16 * 8,
    image_encoder=ImageEncoder(channels=(8, 16), features=16),
    auxiliary=("number_0",),
)


def _seen(worlds=64):
    """A point mass whose position is seen and whose velocity is felt."""
    return Seen(WithExpert(point_mass(worlds), push_to_the_middle))


@pytest.fixture(scope="module")
def learned():
    """(algorithm, learner, metrics) after 8 updates."""
    bc = BC(_seen(), SMALL)
    learner, metrics = bc.update_many(bc.init(jax.random.key(0)), 8)
    return bc, learner, metrics


def _fresh(count=300):
    """Numbers float32[count, 2] and what is observed."""
    key = jax.random.key(5)
    numbers = jax.random.uniform(key, (count, 2), minval=-0.9, maxval=0.9)
    return numbers, _seen().seen({"policy": numbers})


def test_what_the_expert_knows_from_numbers_is_learned_from_an_image(learned):
    bc, learner, metrics = learned
    numbers, obs = _fresh()
    expected = push_to_the_middle(numbers)
    policy = bc.policy(learner, deterministic=True)
    error = float(jnp.mean(jnp.abs(policy(obs, jax.random.key(0)) - expected)))
    blind = {**obs, "camera": jnp.roll(obs["camera"], 1, axis=0)}
    without = float(jnp.mean(jnp.abs(policy(blind, jax.random.key(0)) - expected)))
    assert error < 0.15 < 0.5 < without
    assert metrics["agreement/error"][-1] < 0.15 < metrics["agreement/error"][0]
    assert metrics["auxiliary/error"][-1] < 0.05 < 0.3 < metrics["auxiliary/error"][0]


def test_samples_are_kept_as_bytes(learned):
    bc, learner, _ = learned
    aggregate = learner.aggregate
    assert aggregate.obs["camera"].dtype == np.uint8
    assert set(aggregate.obs) == {"policy", "camera"}
    rows = aggregate.obs, aggregate.label, aggregate.target
    assert sum(x.nbytes for x in jax.tree.leaves(rows)) == 8_192 * (288 + 4 + 4 + 4)
    assert bc.notes == ("aggregate: 8,192 labelled samples, 2.46 MB",)


def test_the_saved_policy_is_the_policy_and_has_no_auxiliary_head(learned, tmp_path):
    bc, learner, _ = learned
    _, obs = _fresh()
    export = bc.export(learner)
    assert [layer.kind for layer in export.layers].count("dense") == 3
    policy = load_policy(save_policy(tmp_path, export, bc.env.spec, task="seen"))
    action = bc.policy(learner, deterministic=True)(obs, jax.random.key(0))
    found = policy({name: np.asarray(obs[name]) for name in ("policy", "camera")})
    np.testing.assert_allclose(found, action, atol=1e-5)


def test_driven_from_the_host_it_learns_the_same_also_from_images_alone():
    config = dataclasses.replace(SMALL, num_batches=2, auxiliary=())
    found = []
    for wrap in (lambda env: env, HostDriven):
        env = wrap(Seen(WithExpert(bandit(16), lambda x: 0.5 * x)))
        bc = BC(env, config)
        assert bc.model.reader.groups == ("camera",)
        learner, metrics = bc.update(bc.init(jax.random.key(0)))
        found.append((learner.agent.params, metrics["loss/continuous"]))
        assert learner.agent.statistics == {}
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0.02, atol=2e-3), *found)


def test_only_learning_augments():
    """A wild change of the images leaves how a fresh policy acts, and changes what it learns."""
    found = []
    for augment in (Augmentation(), Augmentation(shift=8, brightness=0.5)):
        encoder = dataclasses.replace(SMALL.image_encoder, augment=augment)
        config = dataclasses.replace(SMALL, num_batches=1, image_encoder=encoder)
        bc = BC(_seen(16), config)
        learner, metrics = bc.update(bc.init(jax.random.key(0)))
        found.append((metrics["agreement/error"], learner.agent.params["encoders"]))
    assert found[0][0] == found[1][0]
    kernels = [x[1]["camera"]["params"]["Dense_0"]["kernel"] for x in found]
    assert not np.allclose(*kernels, atol=1e-6)


def test_recorded_images_are_learned_from_and_missing_ones_named():
    env = point_mass(16)
    shown = recorded(env, push_to_the_middle, 20, jax.random.key(2))
    seeing = Seen(env)
    seen = dataclasses.replace(
        shown, obs=jax.tree.map(np.asarray, dict(seeing.seen(shown.obs))), next_obs={}
    )
    config = dataclasses.replace(SMALL, num_batches=2)
    bc = BC(WithDemonstrations(seeing, seen), config)
    learner, metrics = bc.update(bc.init(jax.random.key(0)))
    assert metrics["auxiliary/error"] > 0
    assert learner.aggregate.obs["camera"].shape == (320, 4, 24, 3)
    with pytest.raises(ConfigError, match="lack the observation group 'camera', which is learned"):
        BC(WithDemonstrations(seeing, shown), config)


def test_info_tells_the_options_of_reading_images(capsys):
    assert cli.main(["info", "algorithm:bc"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "image_encoder.augment.shift = 0 whole number, >= 0, <= 16 pixels by which" in out
