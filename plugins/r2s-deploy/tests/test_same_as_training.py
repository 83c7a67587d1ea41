"""What a robot computes is what training computed: observations, and joint targets from actions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_core import registry
from r2s_core.config import load_mapping
from r2s_core.env.build import wrap_task
from r2s_deploy.arm import Arm, Law
from r2s_deploy.sensed import Sensed, quantities

STEPS = 12
#: Parts of an observation that no simulator has to be asked for.
PARTS = ["pose", "joints", "ee_motion", "alignment", "grasp", "targets"]


def task_of(robot, action_space, **more):
    options = {"robot": robot, "action_space": action_space, "observations": PARTS, **more}
    config = load_mapping({"backend": "mujoco", "environment": options})
    return registry.build("environment", "real2sim_pick_place", config.environment.options), config


@pytest.mark.parametrize("robot", ["panda", "ur5e_2f85"])
@pytest.mark.parametrize("action_space", ["ee_delta", "joint"])
def test_a_robot_reads_and_commands_what_training_did(robot, action_space):
    features = "size" if action_space == "joint" else "embedding"
    task, config = task_of(robot, action_space, object_features=features)
    env = wrap_task(task, config, 2, training=False)
    deployed = task.deployment()
    arm = Arm.of(deployed.robot)
    law, slots, body = Law(arm, deployed.control), task.arm.slots, task.observer.body
    names = env.spec.observations["policy"].names
    state, obs = env.reset(jax.random.key(3))
    rng, finger_target, targets = np.random.default_rng(0), None, None
    for _ in range(STEPS):
        view = state.physics.view
        qpos, qvel = (np.asarray(x[0], float) for x in (view.qpos, view.qvel))
        sensed = Sensed(
            arm,
            slots.arm(qpos),
            slots.arm_velocity(qvel),
            slots.fingers(qpos),
            slots.finger_velocity(qvel),
            targets,
            finger_target,
            body.position(qpos),
            body.quaternion(qpos),
            np.asarray(state.task.goal[0], float),
            deployed.objects[0],
        )
        found, expected = quantities(sensed), np.asarray(obs["policy"][0])
        for name, value in zip(names, expected, strict=True):
            signal = deployed.signals[name]
            assert found[signal.quantity][signal.index] == pytest.approx(value, abs=2e-5), name

        action = rng.uniform(-1, 1, (2, env.spec.action_size)).astype(np.float32)
        ctrl = np.asarray(jax.vmap(task.control)(state.task, view, jnp.asarray(action))[0], float)
        targets, finger_target = law.targets(
            action[0], sensed.angles, sensed.fingers, finger_target
        )
        np.testing.assert_allclose(slots.arm_targets(ctrl), targets, atol=5e-5)
        np.testing.assert_allclose(slots.finger_targets(ctrl), finger_target, atol=1e-6)
        state, step = env.step(state, jnp.asarray(action))
        obs = step.obs


def test_every_number_of_an_observation_has_a_source():
    task, _ = task_of("panda", "ee_delta", observations=["pose", "contact", "progress"])
    deployed = task.deployment()
    every = [name for group in task.info.observation_names.values() for name in group]
    assert set(every) <= deployed.signals.keys()
    privileged = [name for name in every if deployed.signals[name].privileged]
    assert privileged == ["left_pad_touches", "right_pad_touches", "grasped", "lifted_before"]
