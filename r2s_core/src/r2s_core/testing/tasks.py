"""A small, complete and fast task for tests of rewards, randomizers and backends."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core.task_info import TaskInfo
from r2s_core.types import Array, Named, SceneSpec, View, pytree

_LIGHTS = ((0.5, -1.0, 2.0), 0.6), ((-1.0, 1.0, 1.5), 0.3)  # m, brightness
_COLOURS = {
    "floor": (0.4, 0.4, 0.45, 1.0),
    "cart": (0.8, 0.2, 0.2, 1.0),
    "pole": (0.9, 0.8, 0.2, 1.0),
    "box": (0.2, 0.3, 0.8, 1.0),
}

_SCENE = """
<mujoco>
  <option timestep="0.01" integrator="implicitfast"/>
  <worldbody>
    <geom name="floor" type="plane" size="2 2 .1" friction="1 .005 .0001"/>
    <body name="cart" pos="0 0 .3">
      <joint name="slide" type="slide" axis="1 0 0" damping="0.2"/>
      <geom name="cart" type="box" size=".1 .05 .05" mass="1" contype="0" conaffinity="0"/>
      <site name="tip" pos=".1 0 0"/>
      <body name="pole" pos="0 0 .05">
        <joint name="hinge" type="hinge" axis="0 1 0" damping="0.05"/>
        <geom name="pole" type="capsule" fromto="0 0 0 0 0 .3" size=".01" mass=".1"
          contype="0" conaffinity="0"/>
      </body>
    </body>
    <body name="box" pos="0 .5 .04">
      <freejoint name="box"/>
      <geom name="box" type="box" size=".04 .04 .04" mass=".2"/>
    </body>
  </worldbody>
  <actuator><motor name="push" joint="slide" ctrlrange="-5 5" ctrllimited="true"/></actuator>
  <sensor><jointpos joint="slide"/><framepos objtype="body" objname="box"/></sensor>
</mujoco>
"""


@pytree
class CartState:
    """Where the cart should go."""

    target: Array  # float32[], m


class CartTask:
    """Push a cart with a pole on it to a target; a loose box stands beside it.

    Action: force, -1 to 1 for -5 to 5 N. The episode terminates when the cart is more than 1 m from
    the centre. Every field of the `View` is declared.
    """

    info = TaskInfo(success="the cart is within 5 cm of the target when the episode ends")
    action_low = np.array([-1.0], np.float32)
    action_high = np.array([1.0], np.float32)

    def __init__(self, servo: bool = False) -> None:
        """servo: a position servo of limited force in place of the motor, and joints with rotor
        inertia, so that every physics randomizer has something to vary."""
        self._model = model = mujoco.MjModel.from_xml_string(_SCENE)
        if servo:
            model.actuator_gainprm[0, 0], model.actuator_biasprm[0, 1:3] = 100.0, (-100.0, -10.0)
            model.actuator_biastype[0] = mujoco.mjtBias.mjBIAS_AFFINE
            model.actuator_forcelimited[0], model.actuator_forcerange[0] = 1, (-5.0, 5.0)
            model.dof_armature[:] = 0.01

    def scene(self) -> SceneSpec:
        """See `r2s_core.types.Task`."""
        return SceneSpec(self._model, substeps=2, view_fields=frozenset(View.__dataclass_fields__))

    def init(self, key: Array, variant: Array) -> tuple[CartState, Array, Array]:
        """The cart anywhere in the middle half, the pole nearly upright, the box on the floor."""
        target_key, cart_key, pole_key, speed_key = jax.random.split(key, 4)
        target = jax.random.uniform(target_key, minval=-0.5, maxval=0.5)
        cart = jax.random.uniform(cart_key, (1,), minval=-0.5, maxval=0.5)
        pole = jax.random.uniform(pole_key, (1,), minval=-0.1, maxval=0.1)
        qpos = jnp.concatenate([cart, pole, jnp.asarray(self._model.qpos0[2:], jnp.float32)])
        qvel = jnp.zeros(self._model.nv).at[0].set(0.1 * jax.random.normal(speed_key))
        return CartState(target), qpos, qvel

    def control(self, task: CartState, view: View, action: Array) -> Array:
        """Newtons."""
        return 5.0 * action

    def update(self, task: CartState, view: View) -> CartState:
        """The target stays."""
        return task

    def observe(self, task: CartState, view: View) -> Named:
        """The distance to the target, velocities and the pole's angle."""
        return {
            "policy": jnp.concatenate(
                [view.qpos[:2] - jnp.stack([task.target, 0.0]), view.qvel[:2]]
            )
        }

    def terminated(self, task: CartState, view: View) -> Array:
        """Off the track."""
        return jnp.abs(view.qpos[0]) > 1.0

    def success(self, task: CartState, view: View) -> Array:
        """Within 5 cm of the target."""
        return jnp.abs(view.qpos[0] - task.target) < 0.05

    def metrics(self, task: CartState, view: View) -> Named:
        """The distance to the target."""
        return {"distance": jnp.abs(view.qpos[0] - task.target)}


class SeenCartTask(CartTask):
    """The cart with something to see: lights, each geom with a material of its name, and beside the
    track a ball `distractor_0` that is transparent unless a randomizer shows it."""

    def scene(self) -> SceneSpec:
        """See `r2s_core.types.Task`."""
        return dataclasses.replace(super().scene(), camera_spec=lambda variant: _seen_cart())

    def proprioception(self, task: CartState, view: View) -> Array:
        """Velocities and the pole's angle."""
        return jnp.concatenate([view.qpos[1:2], view.qvel[:2]])


def _seen_cart() -> mujoco.MjSpec:
    spec = mujoco.MjSpec.from_string(_SCENE)
    spec.visual.headlight.active = 0
    for name, rgba in _COLOURS.items():
        spec.add_material(name=name, rgba=rgba, specular=0.0)
        spec.geom(name).material = name
    for number, (position, brightness) in enumerate(_LIGHTS):
        spec.worldbody.add_light(
            name=f"light_{number}",
            pos=position,
            dir=np.negative(position),
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            diffuse=(brightness,) * 3,
            ambient=(0.2,) * 3,
            castshadow=False,
        )
    ball = spec.worldbody.add_body(name="distractor_0", pos=(0.4, -0.4, 0.06))
    ball.add_geom(
        type=mujoco.mjtGeom.mjGEOM_SPHERE,
        size=(0.06, 0, 0),
        rgba=(0.5, 0.5, 0.5, 0.0),
        contype=0,
        conaffinity=0,
    )
    return spec
