"""JAX_ENABLE_X64 and JAX_DEBUG_NANS, which people have in their shells, change no algorithm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_algos_bc.config import BCConfig
from r2s_algos_bc.train import make as make_bc
from r2s_algos_common.metrics import rollout_metrics
from r2s_algos_ddpg.config import DDPGConfig
from r2s_algos_ddpg.train import make as make_ddpg
from r2s_algos_ppo.config import PPOConfig
from r2s_algos_ppo.train import make as make_ppo
from r2s_algos_sac.config import SACConfig
from r2s_algos_sac.train import make as make_sac
from r2s_core.testing.environments import WithExpert, point_mass, push_to_the_middle
from r2s_core.types import Step

SMALL = {"num_steps": 4, "hidden_sizes": (8,), "total_timesteps": 1000, "noise_correlation": 0.5}
OFF_POLICY = {**SMALL, "buffer_size": 256, "learning_starts": 64, "batch_size": 32}
OFF_POLICY |= {"update_to_data_ratio": 2.0, "final_learning_rate": 0.0, "random_steps": 32}
BC = {"num_steps": 4, "hidden_sizes": (8,), "total_timesteps": 1000, "num_batches": 2}


def _make_bc(env, config):
    return make_bc(WithExpert(env, push_to_the_middle), config)


ALGORITHMS = {
    "ppo": (make_ppo, PPOConfig(**SMALL, num_epochs=2, num_minibatches=2, final_desired_kl=0.01)),
    "sac": (make_sac, SACConfig(**OFF_POLICY)),
    "sac-atoms": (make_sac, SACConfig(**OFF_POLICY, num_atoms=11)),
    "ddpg": (make_ddpg, DDPGConfig(**OFF_POLICY)),
    "bc": (_make_bc, BCConfig(**BC)),
    "bc-likelihood": (_make_bc, BCConfig(**BC, loss="likelihood")),
}


class Doubles:
    """A point mass that gives numbers of double precision where JAX has them."""

    def __init__(self):
        self.env = point_mass(16)
        self.spec = self.env.spec

    def reset(self, key):
        state, obs = self.env.reset(key)
        return state, {"policy": jnp.asarray(obs["policy"], float)}

    def step(self, state, action):
        state, step = self.env.step(state, action)
        doubles = jax.tree.map(lambda x: x.astype(float) if x.dtype == jnp.float32 else x, step)
        return state, doubles


@pytest.mark.parametrize("name", ALGORITHMS)
def test_under_enable_x64_an_update_keeps_every_type(name):
    make, config = ALGORITHMS[name]
    with jax.enable_x64(True):
        algorithm = make(Doubles(), config)  # type: ignore[arg-type]
        learner = algorithm.init(jax.random.key(0))
        # Traced, not compiled: types are known then.
        after, metrics = jax.eval_shape(algorithm._collect_and_learn, learner)
    kinds = [jax.tree.map(lambda x: (x.shape, x.dtype), tree) for tree in (learner, after)]
    assert kinds[0] == kinds[1]
    for path, leaf in jax.tree_util.tree_flatten_with_path((after.agent, metrics))[0]:
        assert leaf.dtype not in (np.float64, np.int64), jax.tree_util.keystr(path)


def test_where_no_episode_ended_nothing_is_not_a_number():
    with jax.debug_nans(True):
        flags, zeros = jnp.zeros((2, 3), bool), jnp.zeros((2, 3))
        step = Step({}, {}, zeros, {}, flags, flags, flags, flags, zeros, zeros, {"lifted": zeros})
        metrics = jax.jit(rollout_metrics)(step)
    assert float(metrics["episode/count"]) == 0
    assert all(np.isfinite(x) for x in metrics.values())
