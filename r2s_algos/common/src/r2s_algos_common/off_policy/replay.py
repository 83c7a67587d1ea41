"""The replay buffer: a ring of control steps of all worlds, on the device, updated in place.

Numbers are stored twice, as observed before a step and after it. An image is stored once: what
follows a step is the next row, unless the episode was truncated, whose last image is kept apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from r2s_core import device
from r2s_core.rollout import Trajectory
from r2s_core.types import Array, EnvSpec, Named, pytree


@pytree
class Last:
    """The images after truncations, in each world a ring of the newest F."""

    images: Named  # uint8[F, W, H, W, C] or uint16
    number: Array  # int32[T, W], the world's truncations before each step
    count: Array  # int32[W], the same before the next one


@pytree
class Replay:
    """T control steps of W worlds, the newest overwriting the oldest; leaves [T, W, ...].

    The observation after a step is stored next to the one before it: after a truncation the next
    row belongs to another episode, and the target bootstraps from `final_obs`.
    """

    obs: Named  # what the action was chosen on, not normalised
    final_obs: Named  # what the step led to, before any reset; of images only `last`
    last: Last | None  # None: there are no images
    action: Array  # float32[T, W, A], in [-1, 1]
    reward: Array  # float32[T, W], not scaled
    terminated: Array  # bool[T, W]
    done: Array  # bool[T, W], terminated or truncated
    valid: Array  # bool[T, W], False where the physics failed
    position: Array  # int32[], the row to be written next
    filled: Array  # int32[], rows in use

    @property
    def held(self) -> int:
        """The newest rows with which no sample ends, as the image that follows is still to come."""
        return 0 if self.last is None else 1


@pytree
class Samples:
    """n-step transitions; leaves [B, ...]."""

    obs: Named
    action: Array  # float32[B, A], in [-1, 1]
    reward: Array  # float32[B], the discounted sum of up to n rewards
    discount: Array  # float32[B], factor of the value of `next_obs`; 0 after a termination
    next_obs: Named
    weight: Array  # float32[B], 0 for masked samples, else 1


def init_replay(
    spec: EnvSpec, groups: tuple[str, ...], rows: int, truncations: int | None = None
) -> Replay:
    """An empty buffer for `rows` control steps and these observation groups.

    truncations: how many of each world keep their last images; None: as many as there can be in
      these rows by the limit on an episode's steps.
    """
    shape = (rows, spec.num_worlds)
    images = tuple(group for group in groups if spec.observations[group].is_image)
    numbers = tuple(group for group in groups if group not in images)
    kept = _truncations(spec, rows) if truncations is None else truncations

    def empty(groups: tuple[str, ...], count: int) -> Named:  # each call has its own buffers
        specs = {group: spec.observations[group] for group in groups}
        worlds = spec.num_worlds
        return {name: jnp.zeros((count, worlds, *x.shape), x.dtype) for name, x in specs.items()}

    last = Last(
        images=empty(images, kept),
        number=jnp.zeros(shape, jnp.int32),
        count=jnp.zeros(spec.num_worlds, jnp.int32),
    )
    return Replay(
        obs=empty(groups, rows),
        final_obs=empty(numbers, rows),
        last=last if images else None,
        action=jnp.zeros((*shape, spec.action_size), jnp.float32),
        reward=jnp.zeros(shape, jnp.float32),
        terminated=jnp.zeros(shape, bool),
        done=jnp.zeros(shape, bool),
        valid=jnp.zeros(shape, bool),
        position=jnp.int32(0),
        filled=jnp.int32(0),
    )


def replay_bytes(
    spec: EnvSpec, groups: tuple[str, ...], rows: int, truncations: int | None = None
) -> int:
    """Bytes that `init_replay` takes."""
    specs = [spec.observations[group] for group in groups]
    numbers = sum(x.nbytes for x in specs if not x.is_image)
    images = sum(x.nbytes for x in specs if x.is_image)
    per_step = 2 * numbers + images + 4 * (spec.action_size + 1) + 3
    kept = _truncations(spec, rows) if truncations is None else truncations
    last = kept * images + 4 * (rows + 1) if images else 0
    return spec.num_worlds * (rows * per_step + last)


def _truncations(spec: EnvSpec, rows: int) -> int:
    """The most in one world, of episodes that only end too early by a termination."""
    return rows // spec.max_episode_steps + 1


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
    new = {
        "obs": {group: trajectory.obs[group] for group in replay.obs},
        "final_obs": {group: step.final_obs[group] for group in replay.final_obs},
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
    last = replay.last
    if last is not None:
        truncated = step.truncated & ~step.terminated & ~step.diverged
        images, number, ended = _kept(last, step.final_obs, truncated)
        last = Last(images=images, number=write(last.number, number), count=ended)
    return Replay(
        **written,
        last=last,
        position=(replay.position + count) % rows,
        filled=jnp.minimum(replay.filled + count, rows),
    )


def _kept(last: Last, final_obs: Named, truncated: Array) -> tuple[Named, Array, Array]:
    """The last images with those of more steps, [C, W, ...], where these were truncated; and, for
    these steps and for the next one, how many truncations there were before, see `Last`."""
    worlds = jnp.arange(truncated.shape[1])

    def one(carry: tuple[Named, Array], x: tuple[Named, Array]) -> tuple[Any, Array]:
        (rings, count), (fresh, truncated) = carry, x

        def write(ring: Array, image: Array) -> Array:
            slot = count % len(ring)
            there = truncated.reshape(-1, 1, 1, 1)
            return ring.at[slot, worlds].set(jnp.where(there, image, ring[slot, worlds]))

        return (jax.tree.map(write, rings, fresh), count + truncated), count

    fresh = {name: jnp.asarray(final_obs[name]) for name in last.images}
    (images, count), number = jax.lax.scan(one, (last.images, last.count), (fresh, truncated))
    return images, number, count


def sample(replay: Replay, key: Array, size: int, n_step: int, discount: float) -> Samples:
    """`size` n-step transitions, sampled uniformly from the starts whose n steps are all stored.

    The sum of rewards stops at the episode's end. A termination does not bootstrap; a truncation
    after k <= n steps bootstraps from its final observation, at discount^k (Pardo et al. 2018). A
    transition through failed physics has weight 0, and so has one whose last image is kept no
    longer.
    """
    rows, worlds = replay.reward.shape
    time_key, world_key = jax.random.split(key)
    age = jax.random.randint(
        time_key, (size,), 0, replay.filled - n_step - replay.held + 1, jnp.int32
    )
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
    next_obs = {group: gather(x, last) for group, x in replay.final_obs.items()}
    if replay.last is not None:
        after, there = _images_after(replay, replay.last, last, gather)
        next_obs, valid = {**next_obs, **after}, valid & there
    return Samples(
        obs={group: gather(x, first) for group, x in replay.obs.items()},
        action=gather(replay.action, first),
        reward=reward,
        discount=bootstrap,
        next_obs=next_obs,
        weight=valid.astype(jnp.float32),
    )


def _images_after(
    replay: Replay, last: Last, index: Array, gather: Callable[[Array, Array], Array]
) -> tuple[Named, Array]:
    """The images after the steps at these flat indices [B], and whether they are still there."""
    rows, worlds = replay.reward.shape
    following, world = (index + worlds) % (rows * worlds), index % worlds
    ended = gather(replay.done, index) & ~gather(replay.terminated, index)
    number = gather(last.number, index)
    kept = len(next(iter(last.images.values())))

    def after(name: str) -> Array:
        image, there = last.images[name][number % kept, world], ended.reshape(-1, 1, 1, 1)
        return jnp.where(there, image, gather(replay.obs[name], following))

    images = {name: after(name) for name in last.images}
    return images, ~ended | (last.count[world] - number <= kept)
