"""Whether r2s's TD3 takes Stable-Baselines3's gradient steps: same weights, same batches.

    python benchmarks/td3_steps.py    # where off_policy_standard.py runs; a minute

A thousand random steps of InvertedDoublePendulum-v5 in Stable-Baselines3's buffer, its initial
weights copied into r2s; then both learn from the same batches, without target noise (whose random
numbers differ). Prints the differences of values, actions and target weights.
"""

# Stable-Baselines3 is only installed where this runs.
# pyright: reportMissingImports=false

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import off_policy_standard as standard
import torch
from stable_baselines3.common.logger import Logger

from r2s_algos_common.off_policy.batch import Batch
from r2s_algos_ddpg.config import DDPGConfig
from r2s_algos_ddpg.learn import DDPG
from r2s_core.types import ArraySpec, EnvSpec

TASK = "InvertedDoublePendulum-v5"
DISCOUNT = standard.TASKS[TASK].discount["td3"]
RATE = standard.TASKS[TASK].learning_rate["td3"]
LOOKED_AT = (1, 2, 10, 50, 100, 200)


def main() -> None:
    model: Any = standard.sb3_model(TASK, "td3", seed=0, steps=2000)
    model.learn(standard.LEARNING_STARTS)  # which fills the buffer and learns nothing
    model.target_policy_noise = 1e-12
    model.set_logger(Logger(None, []))
    learns, networks = same_weights(model)
    batches: list[Any] = []
    rng, buffer = np.random.default_rng(0), model.replay_buffer

    def sample(size: int, env: Any = None) -> Any:
        batches.append(buffer._get_samples(rng.integers(0, buffer.size(), size), env=env))
        return batches[-1]

    buffer.sample = sample
    critics, policy = jax.jit(learns.learn_critics), jax.jit(learns.learn_policy)
    rate, key = jnp.float32(RATE), jax.random.key(0)
    print("| gradient steps | values | differ by | actions differ by | target weights differ by |")
    print("| --- | --- | --- | --- | --- |")
    for step in range(1, LOOKED_AT[-1] + 1):
        model.train(gradient_steps=1, batch_size=standard.BATCH)
        batch = as_batch(batches[-1])
        networks, _ = critics(networks, batch, rate, key)
        if step % standard.POLICY_DELAY == 0:
            networks, _ = policy(networks, batch, rate, key)
        if step in LOOKED_AT:
            value, *errors = differences(model, learns, networks, batches[0])
            print(f"| {step} | {value:.3g} | {' | '.join(f'{x:.1e}' for x in errors)} |")


def same_weights(model: Any) -> tuple[DDPG, Any]:
    """r2s's TD3 with the weights of Stable-Baselines3's."""
    options = standard.td3_options(TASK)
    config = DDPGConfig(**{**options, "target_noise": 0.0})
    size = model.action_space.shape[0]
    spec = EnvSpec(
        num_worlds=1,
        observations={"policy": ArraySpec(model.observation_space.shape)},
        action_low=-np.ones(size, np.float32),
        action_high=np.ones(size, np.float32),
        max_episode_steps=1000,
        control_dt=0.05,
        traceable=False,
    )
    learns = DDPG(spec, config, ("policy",))
    networks = learns.init(jax.random.key(0))
    policy = weights(model.actor.mu)
    online = tuple(weights(network) for network in model.critic.q_networks)
    critics = dataclasses.replace(networks.critics, online=online, target=online)
    return learns, dataclasses.replace(
        networks, policy=policy, target_policy=policy, critics=critics
    )


def weights(network: Any) -> dict[str, Any]:
    layers = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
    array = lambda x: jnp.array(x.detach().numpy())  # noqa: E731
    return {
        "params": {
            f"Dense_{i}": {"kernel": array(layer.weight).T, "bias": array(layer.bias)}
            for i, layer in enumerate(layers)
        }
    }


def as_batch(samples: Any) -> Batch:
    array = lambda x: jnp.array(x.numpy())  # noqa: E731
    observation = array(samples.observations)
    return Batch(
        observation={"policy": observation},
        action=array(samples.actions),
        reward=array(samples.rewards)[:, 0],
        discount=DISCOUNT * (1.0 - array(samples.dones)[:, 0]),
        next_observation={"policy": array(samples.next_observations)},
        weight=jnp.ones(len(observation)),
    )


def differences(model: Any, learns: DDPG, networks: Any, samples: Any) -> tuple[float, ...]:
    """The mean value, then the greatest differences of values, actions and target weights."""
    batch = as_batch(samples)
    online = networks.critics.online
    observed = learns.critic.read(networks.critics.encoders, batch.observation)
    values = learns.critic.values(online, observed, batch.action)
    with torch.no_grad():
        found = model.critic(samples.observations, samples.actions)
        acted = model.actor(samples.observations).numpy()
    theirs = np.concatenate([x.numpy() for x in found], axis=1).T
    actions = learns.mean({"policy": networks.policy}, batch.observation)
    target = weights(model.critic_target.q_networks[0])
    error = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), networks.critics.target[0], target)
    return (
        float(theirs.mean()),
        float(np.abs(values - theirs).max()),
        float(np.abs(actions - acted).max()),
        float(max(jax.tree.leaves(error))),
    )


if __name__ == "__main__":
    main()
