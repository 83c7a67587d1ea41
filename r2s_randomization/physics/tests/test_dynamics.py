"""What is varied acts on the motion as physics has it, on C MuJoCo."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from r2s_core import registry
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.task_info import TaskInfo
from r2s_core.testing import build_randomizer
from r2s_core.types import SceneSpec, View

_VIEW = frozenset({"qpos", "qvel", "sensordata"})
_BLOCK = """
<mujoco>
  <option timestep="0.002" integrator="implicitfast" cone="elliptic" impratio="10"/>
  <worldbody>
    <geom name="floor" type="plane" size="5 5 .1" friction="0.001 0 0"/>
    <body name="block" pos="0 0 .05">
      <freejoint name="block"/>
      <inertial pos="0 0 .0001" mass="1" diaginertia=".002 .002 .002"/>
      <geom name="block" type="box" size=".1 .1 .05" friction="0.5 .005 .0001"/>
    </body>
    <body name="hand" pos="0 3 1">
      <joint name="finger" type="slide" axis="0 0 1" damping="5"/>
      <geom name="finger" type="box" size=".05 .05 .05" mass="1" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <actuator><position name="finger" joint="finger" kp="400" kv="40" forcerange="-50 50"/></actuator>
  <sensor><actuatorfrc name="force" actuator="finger"/></sensor>
</mujoco>
"""


class BlockTask:
    """A block on the floor, and a finger on a servo that holds its own weight."""

    info = TaskInfo()
    action_low, action_high = -np.ones(1, np.float32), np.ones(1, np.float32)

    def __init__(self, height=0.05):
        self._model, self._height = mujoco.MjModel.from_xml_string(_BLOCK), height

    def scene(self):
        return SceneSpec(self._model, substeps=10, view_fields=_VIEW)

    def init(self, key, variant):
        qpos = jnp.asarray(self._model.qpos0, jnp.float32).at[2].set(self._height)
        return (), qpos, jnp.zeros(self._model.nv)

    def control(self, task, view, action):
        return action

    def update(self, task, view):
        return task

    def observe(self, task, view):
        return {"policy": jnp.concatenate([view.qpos, view.qvel])}

    def terminated(self, task, view):
        return jnp.bool_(False)

    success = terminated

    def metrics(self, task, view):
        return {}


def fly(name, steps, height=0.05, action=0.0, worlds=2, key=0, **options):
    """Views after each control step of worlds in which one thing is not as usual."""
    task = BlockTask(height)
    scene = task.scene()
    randomizers = {}
    if name is not None:
        randomizers[name] = build_randomizer(name, task, options)
    backend = registry.build("backend", "mujoco", scene, worlds, MujocoConfig())
    env = VectorEnv(task, scene, backend, {}, EngineOptions(max_episode_steps=10_000), randomizers)
    state, _ = env.reset(jax.random.key(key))
    views: list[View] = []
    for _ in range(steps):
        state, _ = env.step(state, jnp.full((worlds, 1), action))
        views.append(jax.tree.map(np.array, state.physics.view))
    return jax.tree.map(lambda *x: np.stack(x), *views)


def test_a_heavier_thing_falls_as_fast_and_weighs_more():
    usual, heavy = fly(None, 20, height=2.0), fly("mass", 20, height=2.0, factor=[3.0, 3.0])
    np.testing.assert_allclose(heavy.qpos[:, :, 2], usual.qpos[:, :, 2], atol=1e-5)
    usual, heavy = fly(None, 200), fly("mass", 200, bodies=["hand"], factor=[3.0, 3.0])
    np.testing.assert_allclose(usual.sensordata[-1], 9.81, rtol=1e-3)
    np.testing.assert_allclose(heavy.sensordata[-1], 3 * 9.81, rtol=1e-3)


@pytest.mark.parametrize(("factor", "slides"), [(0.8, True), (1.25, False)])
def test_friction_decides_at_which_angle_a_block_slips(factor, slides):
    """tan 26.6 degrees is 0.5, the block's friction; the floor leans by gravity's tilt."""
    model = BlockTask()
    model._model.opt.gravity[:] = 9.81 * np.array([np.sin(0.4636), 0.0, -np.cos(0.4636)])
    scene = model.scene()
    made = build_randomizer("friction", model, {"slide": [factor, factor]})
    backend = registry.build("backend", "mujoco", scene, 1, MujocoConfig())
    env = VectorEnv(model, scene, backend, {}, EngineOptions(max_episode_steps=999), {"f": made})
    state, _ = env.reset(jax.random.key(0))
    for _ in range(50):
        state, _ = env.step(state, jnp.zeros((1, 1)))
    moved = float(np.asarray(state.physics.view.qpos)[0, 0])
    # Down the slope: g (sin a - mu cos a) t^2 / 2 with t = 1 s.
    expected = 0.5 * 9.81 * (np.sin(0.4636) - 0.5 * factor * np.cos(0.4636)) if slides else 0.0
    assert moved == pytest.approx(expected, abs=0.03)


def test_gravity_s_strength_is_what_things_fall_with():
    weak = fly("gravity", 20, height=2.0, factor=[0.5, 0.5], tilt=0.0)
    fallen = 2.0 - weak.qpos[-1, :, 2]
    np.testing.assert_allclose(fallen, 0.5 * 0.5 * 9.81 * 0.4**2, rtol=0.02)


def test_a_push_changes_momentum_by_force_times_time():
    push = {"bodies": ["block"], "force": [2.0, 2.0], "duration": 0.1, "interval": [0.4, 0.4]}
    pushed = fly("push", 20, height=3.0, **push, worlds=64)
    usual = fly(None, 20, height=3.0, worlds=64)
    gained = np.linalg.norm(pushed.qvel[-1, :, :3] - usual.qvel[-1, :, :3], axis=1)
    # In 0.4 s every world began one push of 0.2 N s; some of the last ones are not over.
    whole = np.isclose(gained, 0.2, rtol=0.02)
    assert whole.mean() > 0.6
    assert (gained <= 0.2 * 1.02).all()


def test_damping_and_rotor_inertia_slow_a_servo_down():
    usual = fly(None, 10, action=0.1)
    damped = fly("joint_damping", 10, action=0.1, joints=["finger"], factor=[5.0, 5.0])
    assert (damped.qpos[4, :, 7] < usual.qpos[4, :, 7] - 1e-4).all()
    stiff = fly("actuator_gain", 10, action=0.1, stiffness=[2.0, 2.0], damping=[1.0, 1.0])
    assert (stiff.qpos[4, :, 7] > usual.qpos[4, :, 7] + 1e-4).all()


def test_a_weak_actuator_cannot_hold_what_it_held():
    held = fly(None, 100)
    dropped = fly("actuator_force", 100, factor=[0.1, 0.1])  # 5 N for 9.81
    np.testing.assert_allclose(held.qpos[-1, :, 7], -9.81 / 400, atol=1e-3)
    assert (dropped.qpos[-1, :, 7] < -0.2).all()


def test_dry_friction_holds_a_joint_where_it_is():
    usual = fly(None, 10)
    stuck = fly("joint_friction", 10, joints=["finger"], friction=[60.0, 60.0])
    assert (usual.qpos[-1, :, 7] < -0.015).all()
    assert (stuck.qpos[-1, :, 7] > -0.004).all()  # it creeps, as MuJoCo's constraints are soft


def test_soft_contacts_let_a_block_sink_in():
    usual = fly(None, 100).qpos[-1, :, 2]
    soft = fly("contact_softness", 100, time_constant=[3.0, 3.0], give=[2.0, 2.0])
    assert (soft.qpos[-1, :, 2] < usual - 1e-4).all()


def test_a_low_damping_ratio_makes_it_bounce():
    dead = fly(None, 60, height=0.4).qvel[..., 2].max()
    lively = fly(
        "contact_softness",
        60,
        height=0.4,
        damping_ratio=[0.1, 0.1],
        time_constant=[1.0, 1.0],
        give=[1.0, 1.0],
    )
    assert lively.qvel[..., 2].max() > dead + 0.5


def test_a_shifted_centre_of_mass_topples_what_stood():
    """Beyond the block's edge, 0.1 m from its middle."""
    model = BlockTask()
    scene = model.scene()
    backend = registry.build("backend", "mujoco", scene, 2, MujocoConfig())
    ipos = np.repeat(model._model.body_ipos[None], 2, axis=0).astype(np.float32)
    ipos[1, 1, 0] = 0.13
    qpos = np.repeat(model._model.qpos0[None], 2, axis=0)
    physics = backend.init({"body_ipos": ipos}, qpos, np.zeros((2, model._model.nv)))
    for _ in range(30):
        physics = backend.step(physics, np.zeros((2, 1)))
    turned = 2 * np.arccos(np.clip(np.abs(np.asarray(physics.view.qpos)[:, 3]), 0, 1))
    assert turned[0] < 0.01
    assert turned[1] > 0.3


def test_every_randomizer_at_once_draws_anew_at_every_reset_and_never_compounds():
    """After many resets factors are still within their ranges."""
    task = BlockTask()
    scene = task.scene()
    names = ("mass", "inertia", "center_of_mass", "friction", "contact_softness", "joint_damping")
    names += ("joint_friction", "actuator_gain", "actuator_force", "gravity", "push")
    options = {"center_of_mass": {"bodies": ["block"]}}
    made = {name: build_randomizer(name, task, options.get(name)) for name in names}
    backend = registry.build("backend", "mujoco", scene, 8, MujocoConfig())
    env = VectorEnv(task, scene, backend, {}, EngineOptions(max_episode_steps=2), made)
    state, _ = env.reset(jax.random.key(0))
    seen = []
    for _ in range(40):
        state, _ = env.step(state, jnp.zeros((8, 1)))
        seen.append(np.asarray(state.physics.fields["body_mass"])[:, 1].copy())
    masses = np.unique(np.stack(seen))
    assert len(masses) > 150  # 20 resets of 8 worlds
    assert masses.min() >= 0.8 - 1e-6
    assert masses.max() <= 1.25 + 1e-6
