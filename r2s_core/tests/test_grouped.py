"""Many objects where each group of worlds has a model of its own, as on MJX: randomizers start
from each object's own values, and worlds move as in one model that holds all objects."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from mujoco.batch import MODEL_FIELDS

from r2s_core import registry
from r2s_core.backends.grouped import GroupedBackend
from r2s_core.backends.mujoco import MujocoBackend
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.task_info import TaskInfo
from r2s_core.testing.tasks import CartState
from r2s_core.types import SceneSpec, Variants, View

WORLDS = 4
#: A box that slides on the floor and a motor with a rotor: all of it differs between two objects.
_XML = """
<mujoco><option timestep="0.004"/>
  <worldbody>
    <geom type="plane" size="2 2 .1" friction=".01"/>
    <body name="box" pos="0 0 {height}"><freejoint/>
      <geom type="box" size="{height} .04 {height}" mass="{mass}" friction="{friction}"
        solref="{softness} 1"/></body>
    <body name="rotor" pos="0 1 1"><joint name="rotor" type="hinge" armature="{armature}"/>
      <geom size=".1" mass="{mass}" contype="0" conaffinity="0"/></body>
  </worldbody>
  <actuator><motor joint="rotor"/></actuator>
</mujoco>
"""
_LIGHT = {"height": 0.02, "mass": 0.2, "friction": 0.2, "softness": 0.02, "armature": 0.01}
_HEAVY = {"height": 0.03, "mass": 2.0, "friction": 0.8, "softness": 0.04, "armature": 0.1}
#: What is randomized, and by how much at most; each of these once took all from the light one.
_VARIED = {
    "geom_friction": 1.3,
    "body_mass": 1.5,
    "body_inertia": 1.5,
    "dof_armature": 2.0,
    "geom_solref": 1.2,
}


def _models() -> list[mujoco.MjModel]:
    return [mujoco.MjModel.from_xml_string(_XML.format(**thing)) for thing in (_LIGHT, _HEAVY)]


class Push:
    """Either object slides along the floor; see `r2s_core.types.Task`."""

    info = TaskInfo()
    action_low, action_high = -np.ones(1, np.float32), np.ones(1, np.float32)

    def scene(self) -> SceneSpec:
        models = _models()
        fields = {}
        for name in sorted(n for n in MODEL_FIELDS if not n.startswith(("opt.", "bvh_"))):
            values = [np.array(getattr(model, name)) for model in models]
            if (values[0] != values[1]).any():
                fields[name] = np.stack(values)
        variants = Variants(("light", "heavy"), (False, False), fields)
        seen = frozenset({"qpos", "qvel"})
        return SceneSpec(models[0], 2, seen, variants=variants)

    def init(self, key, variant):
        qpos = jnp.zeros(8).at[2].set(jnp.array([0.0199, 0.0299])[variant]).at[3].set(1.0)
        speed = jax.random.uniform(key, minval=0.5, maxval=1.0)
        return CartState(jnp.float32(0.0)), qpos, jnp.zeros(7).at[0].set(speed)

    def control(self, task, view: View, action):
        return action

    def update(self, task, view):
        return task

    def observe(self, task, view):
        return {"policy": jnp.append(view.qpos, view.qvel)}

    def terminated(self, task, view):
        return jnp.bool_(False)

    def success(self, task, view):
        return jnp.bool_(False)

    def metrics(self, task, view):
        return {}


class Factor:
    """Multiplies a model field by one number."""

    stage: Any = "model"

    def __init__(self, field: str, most: float) -> None:
        self.writes, self._field, self._most = frozenset({field}), field, most

    def __call__(self, key, values):
        factor = jax.random.uniform(key, minval=1.0, maxval=self._most)
        return {self._field: values[self._field] * factor}


class Narrow(MujocoBackend):
    """Varies what MJX can, which is not all that makes another object."""

    batchable = frozenset(_VARIED)


def make(backend) -> VectorEnv:
    task: Any = Push()
    scene = task.scene()
    physics = backend(scene, WORLDS) if backend is _whole else _grouped(scene, backend)
    randomizers = {name: Factor(name, most) for name, most in _VARIED.items()}
    options = EngineOptions(max_episode_steps=4, variants=(0, 1))
    return VectorEnv(task, scene, physics, {}, options, randomizers)


def _whole(scene, worlds):
    return MujocoBackend(scene, worlds, MujocoConfig(threads=1))


def _grouped(scene, backend):
    return GroupedBackend([backend(scene.of_variant(k), WORLDS // 2) for k in (0, 1)], (0, 1))


def test_groups_are_randomized_from_their_own_values_and_move_as_ungrouped():
    found, fields = [], []
    for backend in (_whole, lambda scene, n: Narrow(scene, n, MujocoConfig(threads=1))):
        env = make(backend)
        state, _ = env.reset(jax.random.key(1))
        fields.append({name: np.asarray(state.physics.fields[name]) for name in _VARIED})
        rows = []
        for _ in range(7):  # past a reset
            state, _ = env.step(state, jnp.full((WORLDS, 1), 0.3))
            rows.append(np.asarray(state.physics.view.qpos))
        found.append(np.stack(rows))
    for name, most in _VARIED.items():
        np.testing.assert_allclose(fields[1][name], fields[0][name], rtol=1e-6, err_msg=name)
        for world, nominal in enumerate(np.repeat([getattr(m, name) for m in _models()], 2, 0)):
            some = nominal > 0
            factor = fields[1][name][world][some] / nominal[some]
            assert 1.0 - 1e-6 <= factor.min() <= factor.max() <= most + 1e-6, (name, world)
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)
    assert np.abs(found[0][:, 0] - found[0][:, 2]).max() > 5e-3, "the objects do differ"


def _traced(name: str):
    config = registry.get("backend", name).plugin.config()
    return lambda scene, n: registry.build("backend", name, scene, n, config)


def test_the_constants_that_mjx_derives_stay_with_their_groups():
    """Traced, not compiled: that a reset gives what init did is checked by `lax.cond`."""
    scene = Push().scene()
    backend = _grouped(scene, _traced("mjx"))
    mass = jnp.asarray(np.repeat([m.body_mass for m in _models()], 2, 0), jnp.float32)
    qpos = jnp.tile(jnp.asarray(scene.model.qpos0, jnp.float32), (WORLDS, 1))
    start = {"body_mass": mass}, qpos, jnp.zeros((WORLDS, scene.model.nv))
    physics = jax.eval_shape(backend.init, *start)
    assert {"body_mass", "body_subtreemass", "dof_invweight0"} <= set(physics.fields)
    after = jax.eval_shape(backend.reset, physics, jnp.ones(WORLDS, bool), *start)
    assert jax.tree.structure(after) == jax.tree.structure(physics)


def test_the_engine_is_traced_with_groups_and_all_of_it_varied():
    pytest.importorskip("warp")
    env = make(_traced("warp"))
    state, _ = jax.eval_shape(env.reset, jax.random.key(0))
    after, step = jax.eval_shape(env.step, state, jax.ShapeDtypeStruct((WORLDS, 1), jnp.float32))
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert step.reward.shape == (WORLDS,)
