"""The replay buffer: a ring of control steps of all worlds, on the device, updated in place."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from r2s_core import device
from r2s_core.rollout import Trajectory
from r2s_core.types import Array, EnvSpec, Named, pytree


@pytree
class Replay:
    """T control steps of W worlds, the newest overwriting the oldest; leaves [T, W, ...].

    The observation after a step is stored next to the one before it: after a truncation the next
    row belongs to another episode, and the target bootstraps from `final_obs`.
    """

    obs: Named  # what the action was chosen on, not normalised
    final_obs: Named  # what the step led to, before any reset
    action: Array  # float32[T, W, A], in [-1, 1]
    reward: Array  # float32[T, W], not scaled
    terminated: Array  # bool[T, W]
    done: Array  # bool[T, W], terminated or truncated
    valid: Array  # bool[T, W], False where the physics failed
    position: Array  # int32[], the row to be written next
    filled: Array  # int32[], rows in use


@pytree
class Samples:
    """n-step transitions; leaves [B, ...]."""

    obs: Named
    action: Array  # float32[B, A], in [-1, 1]
    reward: Array  # float32[B], the discounted sum of up to n rewards
    discount: Array  # float32[B], factor of the value of `next_obs`; 0 after a termination
    next_obs: Named
    weight: Array  # float32[B], 0 for masked samples, else 1


def init_replay(spec: EnvSpec, groups: tuple[str, ...], rows: int) -> Replay:
    """An empty buffer for `rows` control steps and these observation groups."""
    shape = (rows, spec.num_worlds)

    def empty_obs() -> Named:  # called twice, since the two must not share buffers
        specs = {group: spec.observations[group] for group in groups}
        return {name: jnp.zeros((*shape, *x.shape), x.dtype) for name, x in specs.items()}

    return Replay(
        obs=empty_obs(),
        final_obs=empty_obs(),
        action=jnp.zeros((*shape, spec.action_size), jnp.float32),
        reward=jnp.zeros(shape, jnp.float32),
        terminated=jnp.zeros(shape, bool),
        done=jnp.zeros(shape, bool),
        valid=jnp.zeros(shape, bool),
        position=jnp.int32(0),
        filled=jnp.int32(0),
    )


def replay_bytes(spec: EnvSpec, groups: tuple[str, ...], rows: int) -> int:
    """Bytes that `init_replay` takes."""
    observed = sum(spec.observations[group].nbytes for group in groups)
    per_step = 2 * observed + 4 * (spec.action_size + 1) + 3
    return rows * spec.num_worlds * per_step


def check_memory(needed: int, transitions: int, name: str) -> str:
    """A line on the buffer's memory; raises ConfigError where it does not fit.

    `name` is the algorithm's; see `device.check_memory`.
    """
    free = device.available_memory()
    fits = transitions if free is None else transitions * 9 * free // (10 * needed)
    device.check_memory(
        needed,
        f"algorithms.{name}.buffer_size: a buffer of {transitions:,} transitions",
        f"{fits:,} would fit",
    )
    return f"replay buffer: {transitions:,} transitions, {device.size_text(needed)}"


def insert(replay: Replay, trajectory: Trajectory, action: Array) -> Replay:
    """The buffer after adding a trajectory of C steps; C must divide the buffer's rows.

    action: float32[C, W, A], in [-1, 1]. Under `jit` with the buffer donated nothing is copied.
    """
    step = trajectory.step
    groups = tuple(replay.obs)
    new = {
        "obs": {group: trajectory.obs[group] for group in groups},
        "final_obs": {group: step.final_obs[group] for group in groups},
        "action": action,
        "reward": jnp.where(step.diverged, 0.0, step.reward),
        "terminated": step.terminated,
        "done": step.done,
        "valid": ~step.diverged,
    }
    rows, count = replay.reward.shape[0], step.reward.shape[0]
    assert rows % count == 0, (rows, count)

    def write(ring: Array, fresh: Array) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(ring, fresh, replay.position, axis=0)

    written = {name: jax.tree.map(write, getattr(replay, name), x) for name, x in new.items()}
    return Replay(
        **written,
        position=(replay.position + count) % rows,
        filled=jnp.minimum(replay.filled + count, rows),
    )


def sample(replay: Replay, key: Array, size: int, n_step: int, discount: float) -> Samples:
    """`size` n-step transitions, sampled uniformly from the starts whose n steps are all stored.

    The sum of rewards stops at the episode's end. A termination does not bootstrap; a truncation
    after k <= n steps bootstraps from its final observation, at discount^k (Pardo et al. 2018). A
    transition through failed physics has weight 0.
    """
    rows, worlds = replay.reward.shape
    time_key, world_key = jax.random.split(key)
    age = jax.random.randint(time_key, (size,), 0, replay.filled - n_step + 1, jnp.int32)
    world = jax.random.randint(world_key, (size,), 0, worlds, jnp.int32)
    oldest = replay.position - replay.filled  # modulo rows

    def flat(i: int) -> Array:
        return ((oldest + age + i) % rows) * worlds + world

    gather = lambda leaf, index: jnp.reshape(leaf, (rows * worlds, *leaf.shape[2:]))[index]  # noqa: E731
    first = last = flat(0)
    running, valid = jnp.ones(size, bool), jnp.ones(size, bool)
    reward, factor = jnp.zeros(size, jnp.float32), jnp.float32(1.0)
    bootstrap = jnp.zeros(size, jnp.float32)
    for i in range(n_step):
        index = flat(i)
        reward += jnp.where(running, factor * gather(replay.reward, index), 0.0)
        factor = factor * discount
        valid &= ~running | gather(replay.valid, index)
        last = jnp.where(running, index, last)
        follows = jnp.where(gather(replay.terminated, index), 0.0, factor)
        bootstrap = jnp.where(running, follows, bootstrap)
        running &= ~gather(replay.done, index)
    return Samples(
        obs={group: gather(x, first) for group, x in replay.obs.items()},
        action=gather(replay.action, first),
        reward=reward,
        discount=bootstrap,
        next_obs={group: gather(x, last) for group, x in replay.final_obs.items()},
        weight=valid.astype(jnp.float32),
    )
