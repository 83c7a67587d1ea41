"""`mjx` and `warp` step as C MuJoCo does; MuJoCo Warp also runs on CPUs, which shows it here.

Their kernels compile for the better part of a minute on a fresh machine.
"""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from r2s_core import registry
from r2s_core.backends.mjx import _is_stable, make_warp
from r2s_core.backends.plugins import WarpConfig
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.errors import BackendError
from r2s_core.rollout import rollout
from r2s_core.testing import check_backend
from r2s_core.testing.tasks import CartTask
from r2s_core.types import SceneSpec

WORLDS = 3


@pytest.mark.parametrize("name", ["mjx", "warp"])
def test_a_backend_passes_the_kit(name):
    config = registry.get("backend", name).plugin.config()
    check_backend(
        lambda scene, worlds: registry.build("backend", name, scene, worlds, config),
        tolerance=2e-3,  # float32
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e11])
@pytest.mark.parametrize("field", ["ctrl", "qpos", "qvel", "qacc"])
def test_what_c_mujoco_calls_unstable_is_not_ok(field, value):
    numbers = {name: np.zeros(3) for name in ("ctrl", "qpos", "qvel", "qacc")}
    assert _is_stable(SimpleNamespace(**numbers))
    numbers[field][1] = value
    assert not _is_stable(SimpleNamespace(**numbers))


def _boxes(worst_case=None) -> SceneSpec:
    """Three boxes that lie on the floor: 12 contacts a world."""
    spec = mujoco.MjSpec()
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1, 1, 0.1])
    for x in (-0.3, 0.0, 0.3):
        body = spec.worldbody.add_body(pos=[x, 0, 0.0499])
        body.add_freejoint()
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.05] * 3)
    fields = frozenset({"qpos", "qvel"})
    return SceneSpec(spec.compile(), substeps=1, view_fields=fields, worst_case=worst_case)


def _step(backend, scene):
    qpos = jnp.tile(jnp.asarray(scene.model.qpos0, jnp.float32), (WORLDS, 1))
    physics = backend.init({}, qpos, jnp.zeros((WORLDS, scene.model.nv)))
    return jax.jit(lambda p: backend.step(p, jnp.zeros((WORLDS, 0))))(physics)


def test_contacts_that_warp_has_no_room_for_are_an_error_that_says_what_to_set(capfd):
    scene = _boxes()
    backend = make_warp(scene, WORLDS, WarpConfig(contacts_per_world=4))
    assert not np.asarray(_step(backend, scene).ok).any()
    with pytest.raises(BackendError, match=r"backend\.contacts_per_world=8"):
        backend.check()
    backend = make_warp(scene, WORLDS, WarpConfig(constraints_per_world=8))
    assert not np.asarray(_step(backend, scene).ok).any()
    with pytest.raises(BackendError, match=r"backend\.constraints_per_world=16"):
        backend.check()
    assert "overflow" not in capfd.readouterr().out


def test_warp_has_ample_room_for_the_scenes_worst_case():
    scene = _boxes(worst_case=lambda: (12, 48))
    backend = make_warp(scene, WORLDS, WarpConfig())
    assert backend.capacity == {"contacts_per_world": 24, "constraints_per_world": 288}
    assert np.asarray(_step(backend, scene).ok).all()
    backend.check()
    own = make_warp(scene, WORLDS, WarpConfig(contacts_per_world=50))
    assert own.capacity == {"contacts_per_world": 50, "constraints_per_world": 288}


def test_a_traced_engine_resets_worlds_on_its_own():
    """Carts leave the rail at their own times, within one compiled scan.

    On `mjx`, where compiling this takes half a minute, the physics randomizers' test_backends.py
    plays past resets and compares with C MuJoCo.
    """
    task = CartTask()
    scene = task.scene()
    env = VectorEnv(
        task, scene, make_warp(scene, WORLDS, WarpConfig()), {}, EngineOptions(max_episode_steps=7)
    )

    @jax.jit
    def play(key):
        state, obs = env.reset(key)
        act = lambda params, obs, key: (jnp.zeros((WORLDS, env.spec.action_size)), {})  # noqa: E731
        return rollout(env, act, None, state, obs, key, 15)[2]

    step = play(jax.random.key(0)).step
    done = np.asarray(step.truncated | step.terminated)
    assert done.sum() >= 2 * WORLDS
    assert not np.asarray(step.diverged).any()
    lengths = np.asarray(step.episode_length)
    assert (lengths[1:][done[:-1]] == 1).all(), "an ended world starts afresh"
    assert np.isfinite(np.asarray(step.final_obs["policy"])).all()
    env.check()
