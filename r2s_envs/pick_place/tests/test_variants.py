"""Many objects in one policy: each world has one of them, and behaves as if it were alone."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_core.backends.grouped import GroupedBackend
from r2s_core.backends.mujoco import MujocoBackend
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.env.variants import variant_of_world
from r2s_core.evaluation.episodes import run_episodes, summarise
from r2s_envs_pick_place.config import PickPlaceConfig
from r2s_envs_pick_place.scene.build import SceneObject
from r2s_envs_pick_place.scene.pick_object import PickObject
from r2s_envs_pick_place.task.pick_place import PickPlace

CORNERS = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))


def thing(name: str, *half_sizes: tuple[float, float, float], mass=0.1, held_out=False):
    """Boxes side by side along y, each a convex piece, grasped across x."""
    width = sum(2 * y for _, y, _ in half_sizes)
    edge, pieces = -width / 2, []
    for half in half_sizes:
        pieces.append(CORNERS * half + [0.0, edge + half[1], 0.0])
        edge += 2 * half[1]
    size = np.array([max(h[0] for h in half_sizes), width / 2, max(h[2] for h in half_sizes)])
    inertia = np.diag(mass / 3 * (np.square(size).sum() - np.square(size)))
    shape = SceneObject(name, mass, inertia, pieces=tuple(pieces))
    return PickObject(shape, size[2], np.array([1.0, 0, 0, 0]), held_out=held_out)


THINGS = (
    thing("brick", (0.02, 0.03, 0.02)),
    thing("step", (0.015, 0.02, 0.03), (0.02, 0.02, 0.03), (0.025, 0.01, 0.03), mass=0.2),
    thing("slab", (0.03, 0.02, 0.015), mass=0.05, held_out=True),
)


def make(
    things: Any = THINGS, worlds=6, played=None, backend: Any = MujocoBackend, steps=60, **options
) -> Any:
    task = PickPlace(PickPlaceConfig(action_space="ee_delta", **options), *things)
    scene = task.scene()
    physics = backend(scene, worlds, MujocoConfig())
    return VectorEnv(task, scene, physics, {}, EngineOptions(steps, variants=played))


def picks(env: Any, steps: int, state=None):
    """A scripted pick in every world: the states along it."""
    control = jax.jit(jax.vmap(env.task.expert_ctrl))
    update = jax.jit(jax.vmap(env.task.update))
    state = env.reset(jax.random.key(0))[0] if state is None else state
    task, physics = state.task, state.physics
    for _ in range(steps):
        ctrl = control(task, physics.view)
        physics = env.backend.step(physics, ctrl)
        task = update(task, physics.view)
    return task, physics


def test_each_object_moves_as_in_a_world_of_its_own():
    """It falls and lands; in a grasp, rounding would soon decide."""
    env = make(played=(0, 1, 2))
    state, _ = env.reset(jax.random.key(0))
    np.testing.assert_array_equal(state.variant, [0, 0, 1, 1, 2, 2])
    qpos = np.array(state.physics.view.qpos)
    qpos[:, 11] += 0.02
    qvel, ctrl = np.zeros((6, env.scene.model.nv)), np.array(qpos[:, :9])
    moved = _step(env, state.physics.fields, qpos, qvel, ctrl)
    assert np.ptp(moved[::2, 11]) > 0.005, "the objects differ"
    for k, alone in enumerate(THINGS):
        mine, own = slice(2 * k, 2 * k + 2), make([alone], worlds=2)
        np.testing.assert_allclose(
            moved[mine], _step(own, {}, qpos[mine], qvel[mine], ctrl[mine]), atol=1e-4
        )


def _step(env, fields, qpos, qvel, ctrl, steps=12) -> np.ndarray:
    physics = env.backend.init(fields, qpos, qvel)
    for _ in range(steps):
        physics = env.backend.step(physics, ctrl)
    return np.asarray(physics.view.qpos)


def test_a_script_picks_each_object_up():
    task, _ = picks(make(worlds=12, played=(0, 1, 2)), 60)
    held = np.asarray(task.grasped & task.ever_lifted).reshape(3, 4)
    assert (held.mean(axis=1) >= 0.5).all(), held


def test_training_draws_an_object_for_every_episode_and_never_one_held_out():
    env = make(worlds=12, steps=3)
    state, _ = env.reset(jax.random.key(0))
    seen = [np.asarray(state.variant)]
    for _ in range(12):
        state, step = env.step(state, jnp.zeros((12, 5)))
        before, after = np.asarray(step.variant), np.asarray(state.variant)
        kept = ~np.asarray(step.done)
        np.testing.assert_array_equal(before[kept], after[kept])
        seen.append(after)
        masses = np.asarray(state.physics.fields["body_mass"])[:, -1]
        np.testing.assert_allclose(masses, np.array([0.1, 0.2, 0.05])[after], rtol=1e-6)
    drawn = np.stack(seen)
    assert set(np.unique(drawn)) == {0, 1}
    assert (np.ptp(drawn, axis=0) > 0).mean() > 0.5, "a world meets several objects"


class NoMeshes(MujocoBackend):
    """A backend that cannot give worlds of one model different meshes, as MJX."""

    batchable = frozenset({"geom_friction"})


def test_a_backend_that_cannot_vary_the_object_gets_groups_of_worlds():
    whole = make(played=(0, 1, 2), steps=8)

    def grouped(scene, worlds, config):
        counts = np.unique(variant_of_world((0, 1, 2), worlds), return_counts=True)[1]
        return GroupedBackend(
            [NoMeshes(scene.of_variant(k), int(n), config) for k, n in enumerate(counts)],
            (0, 1, 2),
        )

    apart = make(played=(0, 1, 2), backend=grouped, steps=8)
    found = []
    for env in (whole, apart):
        state, _ = env.reset(jax.random.key(1))
        for _ in range(13):  # past a time-out: every world was reset
            state, _ = env.step(state, jnp.full((6, 5), 0.2))
        found.append(np.asarray(state.physics.view.qpos))
    np.testing.assert_allclose(*found, atol=1e-4)


def test_results_are_told_by_object_and_held_out_ones_apart():
    env = make(worlds=6, played=(0, 1, 2), steps=12)
    policy = lambda obs, key: jnp.zeros((6, 5))  # noqa: E731
    episodes = run_episodes(env, policy, jax.random.key(0), per_world=2, record=3)
    assert [r.variant for r in episodes.recordings] == [0, 1, 2]
    result = summarise(episodes, env.spec.task, env.scene.variants)
    assert {row["name"]: (row["episodes"], row["held_out"]) for row in result["objects"]} == {
        "brick": (4, False),
        "step": (4, False),
        "slab": (4, True),
    }
    assert (result["episodes"], result["held_out_episodes"]) == (8, 4)


@pytest.mark.parametrize(("features", "more"), [("none", 0), ("size", 3), ("embedding", 26)])
def test_a_policy_is_told_of_the_object_only_what_was_asked_for(features, more):
    env = make(played=(0, 1, 2), object_features=features)
    _, obs = env.reset(jax.random.key(0))
    assert obs["policy"].shape == (6, 25 + more)
    assert len(env.spec.observations["policy"].names) == 25 + more
    if features == "size":
        np.testing.assert_allclose(obs["policy"][::2, -3], [0.04, 0.05, 0.06], atol=1e-6)


def test_a_larger_copy_has_the_same_material():
    small, large = THINGS[0], THINGS[0].scaled(1.2)
    assert large.shape.name == "brick@1.2"
    assert large.shape.mass == pytest.approx(small.shape.mass * 1.2**3)
    np.testing.assert_allclose(large.shape.inertia, small.shape.inertia * 1.2**5)
    np.testing.assert_allclose(large.shape.bounds, small.shape.bounds * 1.2)
    assert large.rest_height == pytest.approx(1.2 * small.rest_height)


def test_the_bank_has_starts_of_every_object_that_is_trained_on():
    env = make(worlds=32)
    env.task.build_start_bank(env.backend, jax.random.key(1))
    bank = env.task._bank
    assert (bank.number[:2] > 0).all()
    assert bank.number[2] == 0
    for k in (0, 1):
        state, qpos, _ = jax.jit(
            jax.vmap(lambda key, k=k: env.task.init_from_bank(key, jnp.int32(k)))
        )(jax.random.split(jax.random.key(2), 64))
        assert (np.asarray(state.variant) == k).all()
        assert np.ptp(np.asarray(qpos)[:, 11]) > 0.05, "some lie, some are in the air"
