"""The replay buffer against a plain reading of what it promises."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_algos_common.off_policy import replay as replays
from r2s_core.errors import ConfigError
from r2s_core.rollout import Trajectory
from r2s_core.testing.environments import point_mass
from r2s_core.types import ArraySpec, Step

WORLDS, ROWS, DISCOUNT = 3, 12, 0.9


def _spec():
    groups = {"policy": ArraySpec((2,)), "critic": ArraySpec((1,))}
    return dataclasses.replace(point_mass(WORLDS).spec, observations=groups)


def _chunk(start, count=4, seed=0):
    """Steps numbered from `start`: every number in them tells which step and world it is of."""
    rng = np.random.default_rng(seed + start)
    time = np.arange(start, start + count, dtype=np.float32)[:, None]
    mark = 100 * time + np.arange(WORLDS, dtype=np.float32)  # [T, W]
    terminated = rng.random(mark.shape) < 0.15
    truncated = ~terminated & (rng.random(mark.shape) < 0.2)
    diverged = truncated & (rng.random(mark.shape) < 0.3)
    reward = np.where(diverged, np.nan, rng.normal(size=mark.shape)).astype(np.float32)
    obs = {"policy": np.stack([mark, mark], -1), "critic": mark[..., None]}
    final = {name: x + 0.5 for name, x in obs.items()}
    step: dict[str, Any] = {
        "obs": None,
        "final_obs": final,
        "reward": reward,
        "terms": {},
        "terminated": terminated,
        "truncated": truncated,
        "success": terminated,
        "diverged": diverged,
        "episode_return": reward,
        "episode_length": np.zeros(mark.shape, np.int32),
        "metrics": {},
    }
    chunk: dict[str, Any] = {"obs": obs, "action": mark[..., None], "extras": {}}
    return Trajectory(**chunk, step=Step(**step))


def _action(chunk):
    return jnp.asarray(chunk.obs["critic"])


_insert = jax.jit(replays.insert)
_sample = jax.jit(replays.sample, static_argnums=(2, 3, 4))


def _filled(chunks):
    buffer = replays.init_replay(_spec(), ("critic", "policy"), ROWS)
    for chunk in chunks:
        buffer = _insert(buffer, chunk, _action(chunk))
    return buffer


def _expected(chunks, n_step):
    """{mark of the start: (reward, discount, mark of what follows, weight)} for every start."""
    steps = [c.step for c in chunks]
    join = lambda name: np.concatenate([getattr(s, name) for s in steps])  # noqa: E731
    reward, terminated, truncated = join("reward"), join("terminated"), join("truncated")
    diverged = join("diverged")
    marks = np.concatenate([c.obs["critic"][..., 0] for c in chunks])
    answers = {}
    for t in range(len(marks) - n_step + 1):
        for w in range(WORLDS):
            total, weight, k = 0.0, 1.0, 0
            for k in range(n_step):
                total += 0.0 if diverged[t + k, w] else DISCOUNT**k * reward[t + k, w]
                weight *= not diverged[t + k, w]
                if terminated[t + k, w] or truncated[t + k, w]:
                    break
            discount = 0.0 if terminated[t + k, w] else DISCOUNT ** (k + 1)
            answers[marks[t, w]] = (total, discount, marks[t + k, w] + 0.5, weight)
    return answers


@pytest.mark.parametrize("n_step", [1, 3, 5])
@pytest.mark.parametrize("count", [2, 5])  # half full, and written over
def test_samples_are_n_step_transitions_that_end_with_their_episode(n_step, count):
    chunks = [_chunk(4 * i, seed=7) for i in range(count)]
    expected = _expected(chunks[-ROWS // 4 :], n_step)
    samples = _sample(_filled(chunks), jax.random.key(0), 4000, n_step, DISCOUNT)
    samples = jax.device_get(samples)
    marks = samples.obs["critic"][:, 0]
    assert set(marks) == set(expected)  # every start there is, and no other
    for i, mark in enumerate(marks[:400]):
        reward, discount, follows, weight = expected[mark]
        assert samples.weight[i] == weight
        np.testing.assert_allclose(samples.obs["policy"][i], [mark, mark])
        np.testing.assert_allclose(samples.action[i], [mark])
        np.testing.assert_allclose(samples.reward[i], reward, atol=1e-5)
        np.testing.assert_allclose(samples.discount[i], discount, rtol=1e-5)
        np.testing.assert_allclose(samples.next_obs["critic"][i], [follows])
        np.testing.assert_allclose(samples.next_obs["policy"][i], [follows, follows])
    assert not np.all(samples.weight), "the test holds no diverged step"


SEEN = ("camera", "critic", "policy")


def _seeing(max_episode_steps=2):
    """With an image; episodes so short that no truncation is forgotten."""
    groups = {**_spec().observations, "camera": ArraySpec((2, 1, 1), "uint16")}
    spec = dataclasses.replace(_spec(), observations=groups)
    return dataclasses.replace(spec, max_episode_steps=max_episode_steps)


def _filled_with_images(spec, chunks):
    """The image of a step is its mark, and the last one of an episode its mark and 50."""
    buffer = replays.init_replay(spec, SEEN, ROWS)
    for chunk in chunks:
        image = np.broadcast_to(chunk.obs["critic"][..., None, None], (4, WORLDS, 2, 1, 1))
        image = image.astype(np.uint16)
        final = {**chunk.step.final_obs, "camera": image + 50}
        step = dataclasses.replace(chunk.step, final_obs=final)
        seen = dataclasses.replace(chunk, obs={**chunk.obs, "camera": image}, step=step)
        buffer = _insert(buffer, seen, _action(chunk))
    return buffer


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("count", [2, 5])
def test_an_image_is_stored_once_and_followed_by_the_next_or_by_an_episode_s_last(n_step, count):
    chunks = [_chunk(4 * i, seed=5) for i in range(count)]
    expected = _expected(chunks[-ROWS // 4 :], n_step)
    marks = np.concatenate([c.obs["critic"][..., 0] for c in chunks[-ROWS // 4 :]])
    truncated = np.concatenate([c.step.truncated for c in chunks[-ROWS // 4 :]])
    samples = _sample(_filled_with_images(_seeing(), chunks), jax.random.key(0), 4000, n_step, 0.9)
    samples = jax.device_get(samples)
    starts, cut = samples.obs["critic"][:, 0], 0
    assert set(starts) == set(marks[:-n_step].ravel())  # the newest row has no image after it yet
    for i, mark in enumerate(starts[:400]):
        _, discount, follows, weight = expected[mark]
        assert (samples.obs["camera"][i] == mark).all()
        assert samples.weight[i] == weight
        if discount and weight:
            last = np.argwhere(marks == follows - 0.5)[0]
            cut += truncated[tuple(last)]
            after = follows - 0.5 + (50 if truncated[tuple(last)] else 100)
            assert (samples.next_obs["camera"][i] == after).all()
    assert 10 < cut < 390


def test_a_truncation_whose_last_image_is_gone_is_not_learned_from():
    """Of an environment that truncates more often than its limit on steps says."""
    chunks = [_chunk(4 * i, seed=5) for i in range(3)]
    samples = {}
    for limit in (2, 100):
        buffer = _filled_with_images(_seeing(limit), chunks)
        drawn = jax.device_get(_sample(buffer, jax.random.key(0), 2000, 1, DISCOUNT))
        samples[limit] = drawn
    assert np.array_equal(samples[2].obs["critic"], samples[100].obs["critic"])
    truncated = samples[2].next_obs["camera"][:, 0, 0, 0] == samples[2].obs["critic"][:, 0] + 50
    assert samples[2].weight[truncated].all()
    assert 0 < samples[100].weight[truncated].mean() < 1
    rest = ~truncated
    np.testing.assert_array_equal(samples[100].weight[rest], samples[2].weight[rest])


def test_an_image_takes_its_bytes_once():
    spec = _seeing(4)
    buffer = replays.init_replay(spec, SEEN, ROWS)
    total = sum(leaf.nbytes for leaf in jax.tree.leaves(buffer) if leaf.ndim)
    assert replays.replay_bytes(spec, SEEN, ROWS) == total
    without = replays.replay_bytes(spec, SEEN[1:], ROWS)
    # 12 rows and 12 // 4 + 1 last images of 4 bytes; the number of truncations, an int32 per row.
    assert total - without == WORLDS * (4 * (12 + 4) + 4 * (12 + 1))


def test_every_start_is_drawn_as_often_as_any_other():
    chunks = [_chunk(4 * i) for i in range(4)]
    draws = 44_000
    samples = _sample(_filled(chunks), jax.random.key(1), draws, 2, DISCOUNT)
    _, counts = np.unique(samples.obs["critic"], return_counts=True)
    mean = draws / ((ROWS - 1) * WORLDS)
    assert len(counts) == (ROWS - 1) * WORLDS
    chi_square = np.sum((counts - mean) ** 2) / mean
    assert chi_square < 64  # 32 degrees of freedom: 99.93 %


def test_it_takes_the_bytes_that_it_says():
    buffer = replays.init_replay(_spec(), ("critic", "policy"), ROWS)
    counters = buffer.position.nbytes + buffer.filled.nbytes
    total = sum(leaf.nbytes for leaf in jax.tree.leaves(buffer)) - counters
    assert replays.replay_bytes(_spec(), ("critic", "policy"), ROWS) == total


def test_writing_into_a_donated_buffer_copies_nothing():
    chunk = jax.tree.map(jnp.asarray, _chunk(0))
    write = jax.jit(replays.insert, donate_argnums=0)
    buffer = replays.init_replay(_spec(), ("critic", "policy"), ROWS)
    before = buffer.obs["policy"].unsafe_buffer_pointer()
    assert write(buffer, chunk, _action(chunk)).obs["policy"].unsafe_buffer_pointer() == before


def test_a_buffer_larger_than_the_memory_is_refused_before_it_is_made(monkeypatch):
    monkeypatch.setattr("r2s_core.device.available_memory", lambda: 2 * 10**9)
    assert replays.check_memory(10**9, 1_000_000, "sac") == (
        "replay buffer: 1,000,000 transitions, 1 GB"
    )
    with pytest.raises(ConfigError) as refused:
        replays.check_memory(50 * 10**9, 50_000_000, "sac")
    assert str(refused.value) == (
        "algorithms.sac.buffer_size: a buffer of 50,000,000 transitions takes 50 GB, but only 2 GB "
        "of memory is free; 1,800,000 would fit"
    )
