"""A task with an image among its observations: through engine, kit, rollout, a small encoder, the
saved policy and the evaluation."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from r2s_core.backends.mujoco import MujocoBackend
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.evaluation.episodes import run_episodes
from r2s_core.policy import graph
from r2s_core.policy.network import as_jax
from r2s_core.policy.saved import load_policy, save_policy
from r2s_core.rollout import rollout
from r2s_core.task_info import TaskInfo
from r2s_core.testing import check_environment
from r2s_core.testing.tasks import CartTask
from r2s_core.types import ArraySpec, Layer, PolicyExport

WORLDS, STEPS = 32, 60
COLUMNS = np.linspace(-1.2, 1.2, 24, dtype=np.float32)


class SeenCart(CartTask):
    """The cart and its target are seen, as bright columns in a channel each; its speed is felt."""

    info = TaskInfo(success="the cart is within 5 cm of the target", episode_steps=STEPS)

    def observe(self, task, view):
        places = jnp.stack([view.qpos[0], task.target])
        bright = 255 * jnp.exp(-0.5 * ((COLUMNS[:, None] - places) / 0.1) ** 2)
        picture = jnp.broadcast_to(bright, (4, *bright.shape)).astype(jnp.uint8)
        return {"policy": view.qvel[:1], "camera": picture}


def environment(worlds=WORLDS):
    task = SeenCart()
    scene = task.scene()
    backend = MujocoBackend(scene, worlds, MujocoConfig(threads=2))
    return VectorEnv(task, scene, backend, {}, EngineOptions(STEPS))


def test_it_keeps_the_contract():
    check_environment(SeenCart())
    groups = environment().spec.observations
    assert groups == {"policy": ArraySpec((1,)), "camera": ArraySpec((4, 24, 2), "uint8")}


def encoder():
    """Convolution, joined with the speed, two dense layers."""
    rng = np.random.default_rng(0)

    def weights(*shape):
        kernel = rng.normal(size=shape).astype(np.float32) / np.prod(shape[:-1]) ** 0.5
        return {"kernel": kernel, "bias": np.zeros(shape[-1], np.float32)}

    image = {"mean": np.full(2, 128.0), "std": np.full(2, 64.0)}
    speed = {"mean": np.zeros(1), "std": np.ones(1)}
    relu, clip = {"function": "relu"}, {"clip": 10.0}
    conv = {"stride": 2, "padding": "valid"}
    return (
        Layer("seen", "normalise", ("camera",), clip, image),
        Layer("conv", "conv", ("seen",), conv, weights(4, 3, 2, 8)),
        Layer("edges", "activation", ("conv",), relu),
        Layer("flat", "flatten", ("edges",)),
        Layer("felt", "normalise", ("policy",), clip, speed),
        Layer("all", "concat", ("flat", "felt")),
        Layer("hidden", "dense", ("all",), {}, weights(8 * 11 + 1, 32)),
        Layer("active", "activation", ("hidden",), relu),
        Layer("raw", "dense", ("active",), {}, weights(32, 1)),
        Layer("squashed", "squash", ("raw",), {"function": "clip"}),
    )


@pytest.fixture(scope="module")
def learned():
    """(layers, learned tensors): to push as one who knows where cart and target are."""
    env, layers = environment(), encoder()
    fixed = {name: jnp.asarray(x) for name, x in graph.tensors_of(layers).items()}
    weights = {name: x for name, x in fixed.items() if name.endswith(("kernel", "bias"))}
    optimizer = optax.adam(3e-3)

    @jax.jit
    def act(weights, obs, key):
        action = graph.evaluate(layers, fixed | weights, obs, jnp)
        return jnp.where(jax.random.bernoulli(key, 0.3, action.shape), 0.5, 1.0) * action, {}

    @jax.jit
    def improve(weights, moments, obs, expert):
        def loss(weights):
            return jnp.mean((graph.evaluate(layers, fixed | weights, obs, jnp) - expert) ** 2)

        value, gradient = jax.value_and_grad(loss)(weights)
        updates, moments = optimizer.update(gradient, moments)
        return optax.apply_updates(weights, updates), moments, value

    moments, losses = optimizer.init(weights), []
    (state, obs), keys = env.reset(jax.random.key(0)), map(jax.random.key, itertools.count(1))
    rng = np.random.default_rng(0)
    for _ in range(25):
        state, obs, seen = rollout(env, act, weights, state, obs, next(keys), 20)
        flat = {name: x.reshape(-1, *x.shape[2:]) for name, x in seen.obs.items()}
        assert flat["camera"].dtype == np.uint8
        bright = flat["camera"][:, 0].astype(float)  # where it is brightest, between columns
        places = (COLUMNS[:, None] * bright).sum(1) / bright.sum(1)
        expert = np.clip(6 * (places[:, 1] - places[:, 0]) - 3 * flat["policy"][:, 0], -1, 1)
        for _ in range(20):
            rows = rng.integers(len(expert), size=128)
            batch = {name: x[rows] for name, x in flat.items()}
            weights, moments, value = improve(weights, moments, batch, expert[rows, None])
            losses.append(float(value))
    assert np.mean(losses[-20:]) < 0.25 * np.mean(losses[:20])
    return layers, jax.device_get(fixed | weights)


def test_what_it_learned_is_saved_and_solves_the_task(learned, tmp_path):
    layers, tensors = learned
    export = PolicyExport(
        tuple(
            dataclasses.replace(la, tensors={n: tensors[f"{la.name}.{n}"] for n in la.tensors})
            for la in layers
        )
    )
    env = environment(64)
    rates = []
    for name, each in (("learned", export), ("fresh", PolicyExport(layers))):
        save_policy(tmp_path / name, each, env.spec, task="cart")
        policy = as_jax(load_policy(tmp_path / name), env, "cart")
        rates.append(run_episodes(env, policy, jax.random.key(7), 1).success.mean())
    _, obs = env.reset(jax.random.key(0))
    none = {group: np.asarray(values)[:0] for group, values in obs.items()}
    assert load_policy(tmp_path / "learned")(none).shape == (0, env.spec.action_size)
    assert rates[0] > 0.75 > 0.2 > rates[1]
