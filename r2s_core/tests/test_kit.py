"""The kit passes what is right (the templates' own tests say so) and names what is wrong."""

import dataclasses
import functools
import random
from typing import Any, Literal

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from r2s_core import registry
from r2s_core.config import load_mapping
from r2s_core.env.build import wrap_task
from r2s_core.errors import R2SError
from r2s_core.task_info import TaskInfo
from r2s_core.testing import (
    check_algorithm,
    check_backend,
    check_environment,
    check_randomizer,
    check_reward,
    environments,
)
from r2s_core.testing.algorithm_kit import check_learning
from r2s_core.testing.environment_kit import _check_task
from r2s_core.testing.reward_kit import sample_transitions
from r2s_core.testing.tasks import CartTask

# Rewards


@pytest.fixture(scope="module")
def transitions():
    return sample_transitions(CartTask(), worlds=2, steps=2)


def test_a_reward_that_is_right_passes(transitions):
    def near(transition):
        return -jnp.square(transition.view.qpos[0] - transition.task.target)

    check_reward(near, transitions=transitions)


@pytest.mark.parametrize(
    ("reward", "complaint"),
    [
        (lambda t: t.view.qpos, r"must be float32\[\], but is float32\[9\]"),
        (lambda t: t.terminated, r"must be float32\[\], but is bool\[\]"),
        (lambda t: jnp.log(-jnp.abs(t.view.time)), "is not finite"),
        (lambda t: jnp.float32(random.random()), "a second call with the same arguments"),
        (lambda t: 1.0 * jnp.float32(t.view.qpos[0]) if t.view.time > 9 else jnp.float32(0), "if"),
        (lambda t: jnp.float32(np.sum(np.asarray(t.view.qpos))), "cannot be traced"),
    ],
    ids=["vector", "bool", "nan", "random", "branch", "numpy"],
)
def test_a_reward_that_is_wrong_is_told_why(transitions, reward, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_reward(reward, transitions=transitions)


# Randomizers


@dataclasses.dataclass
class Scale:
    """Scales one field, or does something wrong."""

    how: Any = None
    stage: Any = "model"
    writes: Any = frozenset({"dof_damping"})

    def __call__(self, key, values):
        if self.how is not None:
            return self.how(key, values)
        return {name: values[name] * jax.random.uniform(key) for name in self.writes}


def _mutate(key, values):
    values["dof_damping"] = 2.0 * values["dof_damping"]
    return values


def _turn(key, values):
    return {"qpos": values["qpos"] + jax.random.normal(key, values["qpos"].shape)}


@pytest.mark.parametrize(
    ("randomizer", "complaint"),
    [
        (Scale(stage="never"), "stage is 'never'; it must be one of model, reset"),
        (Scale(writes=frozenset()), "must be a frozenset"),
        (Scale(writes=frozenset({"body_weight"})), "body_weight, which is not an array of floats"),
        (Scale(lambda k, v: {"body_mass": jnp.ones(3)}), r"returns \['body_mass'\]"),
        (
            Scale(lambda k, v: {"dof_damping": v["dof_damping"][:2]}),
            r"float32\[8\] to float32\[2\]",
        ),
        (
            Scale(lambda k, v: {"dof_damping": v["dof_damping"]}),
            "the same under 8 different keys",
        ),
        (Scale(lambda k, v: {"dof_damping": v["dof_damping"] * random.random()}), "a second call"),
        (Scale(_mutate), "which it must not change"),
        (Scale(_turn, "reset", frozenset({"qpos"})), "is a quaternion, but its length becomes"),
    ],
)
def test_a_randomizer_that_is_wrong_is_told_why(randomizer, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_randomizer(lambda model: randomizer)


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("model", "body_mass"),
        ("model", "opt.gravity"),
        ("reset", "qvel"),
        ("action", "action"),
        ("wrench", "wrench"),
        ("reading", "policy"),
        ("observation", "policy"),
    ],
)
def test_a_randomizer_of_every_stage_passes(stage, name):
    def noise(key, values):
        return {name: values[name] + 0.1 * jax.random.normal(key, values[name].shape)}

    check_randomizer(lambda model: Scale(noise, stage, frozenset({name})))


class Bias:
    """Adds an error of the episode, or does something wrong."""

    stage: Literal["reading"] = "reading"
    writes = frozenset({"policy"})

    def __init__(self, step=None):
        self._step = step

    def begin(self, key, values):
        return jax.random.normal(key, values["policy"].shape)

    def step(self, memory, key, values):
        if self._step is not None:
            return self._step(memory, key, values)
        return memory, {"policy": values["policy"] + memory}


def test_a_randomizer_that_remembers_is_taken_through_an_episode():
    check_randomizer(lambda context: Bias())
    with pytest.raises(AssertionError, match="the memory has another structure, shape or dtype"):
        check_randomizer(lambda context: Bias(lambda m, k, v: (m[:2], {"policy": v["policy"]})))
    with pytest.raises(AssertionError, match=r"returns \['critic'\]"):
        check_randomizer(lambda context: Bias(lambda m, k, v: (m, {"critic": v["policy"]})))


# Environments


class Broken:
    """The corridor, with each step changed by `how`."""

    def __init__(self, how, env=None):
        self.env = env or environments.corridor(4, "termination", 5)
        self.spec, self.how = self.env.spec, how

    def reset(self, key):
        return self.env.reset(key)

    def step(self, state, action):
        state, step = self.env.step(state, action)
        return state, self.how(step)


def _with(**changes):
    """Replace fields of the step by functions of it."""
    return lambda step: dataclasses.replace(
        step, **{name: change(step) for name, change in changes.items()}
    )


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        (_with(truncated=lambda s: s.terminated), "a world is terminated and truncated"),
        (_with(truncated=lambda s: s.episode_length == 3), "before max_episode_steps"),
        (
            _with(episode_length=lambda s: jnp.ones(4, jnp.int32)),
            "episode_length against our own count",
        ),
        (_with(episode_return=lambda s: s.reward), "episode_return against our own sum"),
        (_with(final_obs=lambda s: {"policy": 0 * s.obs["policy"]}), "of a world that is not done"),
        (
            _with(reward=lambda s: s.reward[:, None]),
            r"reward must be float32\[4\], but is float32\[",
        ),
        (_with(reward=lambda s: s.reward / 0), "is not finite"),
        (_with(obs=lambda s: {**s.obs, "extra": s.reward}), r"\['extra', 'policy'\]"),
        (lambda s: _with(reward=lambda s: s.reward + random.random())(s), "the same state twice"),
    ],
)
def test_an_environment_that_is_wrong_is_told_why(how, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_environment(Broken(how))


def test_a_headline_is_a_rate():
    env = Broken(_with(metrics=lambda s: {"distance": 1.5 * jnp.ones_like(s.reward)}))
    env.spec = dataclasses.replace(env.spec, task=TaskInfo(headline={"distance": "m"}))
    complaint = r"info.headline shows the metric distance as a rate, in \[0, 1\], but it is 1.5"
    with pytest.raises(AssertionError, match=complaint):
        check_environment(env)
    env.spec = dataclasses.replace(env.spec, task=TaskInfo(headline={"speed": "m/s"}))
    with pytest.raises(AssertionError, match=r"info.headline names 'speed', but metrics"):
        check_environment(env)


def test_an_environment_that_does_not_end_in_time_is_told_so():
    late = environments.corridor(4, "truncation")
    with pytest.raises(AssertionError, match="continues after max_episode_steps 5"):
        check_environment(Broken(_with(truncated=lambda s: s.truncated & False), late))


def test_the_kits_own_environments_pass():
    check_environment(environments.corridor(4, "truncation"))
    check_environment(environments.HostDriven(environments.bandit(4)))
    check_environment(CartTask())


class BranchingTask(CartTask):
    """A task whose author forgot that it will be traced."""

    def terminated(self, task, view):
        return jnp.bool_(True) if view.qpos[0] > 1.0 else jnp.bool_(False)


class DriftingTask(CartTask):
    """A task whose state changes its type on the way."""

    def update(self, task, view):
        return dataclasses.replace(task, target=task.target[None])


class BlindTask(CartTask):
    """A task that reads a field of the view that it does not declare."""

    def scene(self):
        return dataclasses.replace(super().scene(), view_fields=frozenset({"qpos", "qvel"}))

    def metrics(self, task, view):
        return {"height": view.xpos[1, 2]}


class GreyTask(CartTask):
    """A task with an image that has no channels."""

    def observe(self, task, view):
        return {"policy": jnp.zeros((4, 6), jnp.uint8)}


class SeeingTask(CartTask):
    """A task that observes nothing but an image."""

    def __init__(self, shape, dtype):
        super().__init__()
        self.picture = jnp.zeros(shape, dtype)

    def observe(self, task, view):
        return {"camera": self.picture}


class DescribedTask(CartTask):
    """A task whose `info` differs."""

    def __init__(self, **info):
        super().__init__()
        self.info = dataclasses.replace(CartTask.info, **info)

    def scene(self):
        return dataclasses.replace(super().scene(), render_spec=lambda variant: _drawn())

    def observe(self, task, view):
        return {**super().observe(task, view), "camera": jnp.zeros((4, 6, 3), jnp.uint8)}


class FeelingTask(DescribedTask):
    """A task that says what a robot feels without cameras."""

    def __init__(self, felt, *names):
        super().__init__(observation_names={"proprioception": names})
        self.felt = felt

    def proprioception(self, task, view):
        return self.felt


def _drawn():
    spec = mujoco.MjSpec()
    spec.worldbody.add_body(name="goal", mocap=True)
    spec.worldbody.add_body(name="cart")
    return spec


@pytest.mark.parametrize(
    ("task", "complaint"),
    [
        (BranchingTask(), r"failed at .*test_kit.py:\d+ \(terminated\): TracerBool.* jnp.where"),
        (DriftingTask(), r"update \(.*\) returned CartState, but must return a state like the one"),
        (
            BlindTask(),
            r"\(metrics\): TypeError: 'NoneType' .*; a field of the view is None unless "
            "SceneSpec.view_fields declares it, which has qpos, qvel; add the field",
        ),
        (SeeingTask((4, 6, 3), jnp.uint16), r"or, for depth in mm, uint16\[height, width, 1\]"),
        (SeeingTask((6,), jnp.float32), "a group 'policy' among its groups"),
        (GreyTask(), r"a grey image is uint8\[height, width, 1\]: policy\[..., None\]"),
        (DescribedTask(episode_steps=0), "the task: info.episode_steps is 0; it must be a whole"),
        (
            DescribedTask(observation_names={"camera": ("red",)}),
            "has 1 names for the group 'camera', which is an image; images have no names",
        ),
        (
            DescribedTask(observation_names={"polcy": ("x",)}),
            "no such group; did you mean policy[?]; it has camera, policy",
        ),
        (
            DescribedTask(observation_names={"proprioception": ("x",)}),
            "names 'proprioception', but the task has no method of that name",
        ),
        (
            FeelingTask(np.zeros(2, np.float32), "x"),
            "has 1 names for the group 'proprioception', which has 2 numbers",
        ),
        (
            FeelingTask(np.zeros((4, 6), np.uint8)),
            r"proprioception \(.*\) returned uint8\[4, 6\], but must return float32\[n\]",
        ),
        (
            DescribedTask(markers={"gaol": "target"}),
            "markers names the body 'gaol', which is not in the scene's render_spec; did you mean "
            "goal[?]; its mocap bodies: goal",
        ),
        (DescribedTask(markers={"cart": "target"}), "'cart', which is no mocap body of the scene"),
        (
            DescribedTask(markers={"goal": "target"}),
            r"'target', which has the shape \[\], not \[3\]",
        ),
        (DescribedTask(markers={"goal": "gaol"}), "'gaol', which does not exist"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, CartTask) else "",
)
def test_a_task_that_is_wrong_is_told_why(task, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_environment(task)


def test_a_run_refuses_a_task_whose_episodes_have_no_step():
    config = load_mapping({"environment": {"use": "real2sim_pick_place"}})
    with pytest.raises(
        R2SError, match=r"^environment 'real2sim_pick_place': info.episode_steps is 0"
    ):
        wrap_task(DescribedTask(episode_steps=0), config, 2, training=False)


class Optional(CartTask):
    """A task with everything that a task may offer beside, each of it right or wrong."""

    def __init__(self, wrong=None):
        super().__init__()
        self.wrong, self.scale = wrong, 1.0

    def at_level(self, level):
        easier = Optional(self.wrong)
        easier.scale = level * (0.5 if self.wrong == "level" else 1.0)
        return easier

    def init(self, key, variant):
        state, qpos, qvel = super().init(key, variant)
        return state, qpos.at[0].multiply(self.scale), qvel

    def begin(self, task, view):
        return (
            dataclasses.replace(task, target=task.target[None]) if self.wrong == "begin" else task
        )

    def build_start_bank(self, backend, key):
        self.bank = super().init(key, jnp.int32(0))

    def init_from_bank(self, key, variant):
        state, qpos, qvel = self.bank
        return state, qpos[:3] if self.wrong == "bank" else qpos, qvel

    def readings(self, task, view):
        return {"cart": view.qpos[:2], "cart_quaternion": view.xquat[1] * self._doubled()}

    def _doubled(self):
        return 2.0 if self.wrong == "quaternion" else 1.0

    def perceived(self, task, view, readings):
        shift = 0.1 if self.wrong == "perceived" else 0.0
        qpos = view.qpos.at[:2].set(readings["cart"] + shift)
        return task, dataclasses.replace(view, qpos=qpos)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (None, None),
        ("level", "init at the level 1, which is the task itself"),
        ("begin", r"begin \(.*\) returned CartState, but must return a state like"),
        ("bank", "init_from_bank must return what init does"),
        ("quaternion", "cart_quaternion must be a unit quaternion"),
        ("perceived", "the observation from readings without errors"),
    ],
)
def test_what_a_task_offers_beside_is_checked_too(wrong, complaint):
    if complaint is None:
        _check_task(Optional())
    else:
        with pytest.raises(AssertionError, match=complaint):
            _check_task(Optional(wrong))


# Backends


def _mujoco(scene, num_worlds):
    config = registry.get("backend", "mujoco").plugin.config()
    return registry.build("backend", "mujoco", scene, num_worlds, config)


class BrokenBackend:
    """The mujoco backend with one method or attribute replaced."""

    def __init__(self, scene, num_worlds, **wrong):
        self._inner = _mujoco(scene, num_worlds)
        earlier = dataclasses.replace(scene, substeps=scene.substeps - 1)
        self._inner.one_substep_behind = _mujoco(earlier, num_worlds)
        for name, value in wrong.items():
            setattr(self, name, functools.partial(value, self._inner) if callable(value) else value)

    def __getattr__(self, name):
        return getattr(self._inner, name)


def _reset_all(inner, physics, mask, fields, qpos, qvel):
    return inner.reset(physics, np.ones_like(mask), fields, qpos, qvel)


def _stale_view(inner, physics, *control):
    before = inner.one_substep_behind.step(physics, *control).view
    return dataclasses.replace(inner.step(physics, *control), view=before)


def _always_ok(inner, physics, *control):
    moved = inner.step(physics, *control)
    return dataclasses.replace(moved, ok=np.ones_like(moved.ok))


def _nominal_mass(inner, fields, qpos, qvel):
    return inner.init({}, qpos, qvel)


def _old_mass(inner, physics, mask, fields, qpos, qvel):
    return inner.reset(physics, mask, physics.fields, qpos, qvel)


def _new_mass_everywhere(inner, physics, mask, fields, qpos, qvel):
    reset = inner.reset(physics, mask, fields, qpos, qvel)
    return dataclasses.replace(reset, fields=fields, carry=reset.carry.copy())


def _flat_rotations(inner, fields, qpos, qvel):
    physics = inner.init(fields, qpos, qvel)
    if physics.view.site_xmat is None:
        return physics
    flat = physics.view.site_xmat.reshape(len(qpos), -1, 9)
    return dataclasses.replace(physics, view=dataclasses.replace(physics.view, site_xmat=flat))


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"reset": _reset_all}, "of a world outside the mask"),
        ({"step": _stale_view}, "is it one substep behind?"),
        ({"step": _always_ok}, "ok where one world is pushed with 1e15 N"),
        ({"init": _nominal_mass}, "body_mass differs per world"),
        ({"reset": _old_mass}, "after a reset to another body_mass, under the mask"),
        ({"reset": _new_mass_everywhere}, "after a reset to another body_mass, outside the mask"),
        ({"step": lambda inner, physics, ctrl, wrench=None: inner.step(physics, ctrl)}, "a wrench"),
        ({"init": _flat_rotations}, r"site_xmat must be float32\[4, 1, 3, 3\], but .*\[4, 1, 9\]"),
        ({"step": lambda inner, *_: None}, "`step` returned nothing, not a Physics"),
        ({"traceable": True}, "traceable is True, but `init` cannot be traced: Tracer"),
        ({"batchable": {"body_mass"}}, "batchable is a set, not a frozenset"),
        ({"batchable": frozenset({"boddy_mass"})}, "names 'boddy_mass', which no MjModel has"),
        ({"variant": np.zeros(3, np.int32)}, r"variant is int32\[3\]; it must be None or int32\[4"),
        ({"name": ""}, "name is ''"),
    ],
)
def test_a_backend_that_is_wrong_is_told_why(wrong, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_backend(lambda scene, worlds: BrokenBackend(scene, worlds, **wrong))  # type: ignore[arg-type]


def test_the_mujoco_backend_passes():
    check_backend(_mujoco)


# Algorithms. That a right one passes is tested by the PPO's tests and the template's.


class Guess:
    """Learns nothing: acts by a number that every update increases. Wrong as `how` says."""

    def __init__(self, env, how=""):
        self.env, self.how, self.calls = env, how, 0
        self.steps_per_update = 7 if how == "count" else env.spec.num_worlds

    def init(self, key):
        learner = {"number": jnp.float32(0.0), "key": key}
        return learner | ({"step": 0} if self.how == "leaf" else {})

    def update(self, learner):
        self.calls += 1
        more = self.calls if self.how == "hidden" else 1
        number = learner["number"] + more
        if self.how == "layout":
            number = number[None]
        metrics = {"loss": jnp.zeros(3) if self.how == "metric" else number}
        return {**learner, "number": number}, metrics

    def policy(self, learner, deterministic):
        def policy(obs, key):
            noise = jax.random.uniform(key, obs["policy"][:, :1].shape, minval=-1.0)
            if deterministic and self.how != "noisy":
                noise = jnp.zeros_like(noise)
            return noise + (2.0 if self.how == "bounds" else 0.0)

        return policy


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ("count", "steps_per_update is 7"),
        ("leaf", r"\['step'\] is int, not an array"),
        ("hidden", "update of the same learner, a second time"),
        ("layout", "update must return a learner like"),
        ("metric", r"the metric loss has shape \(3,\)"),
        ("noisy", "the deterministic policy under another key"),
        ("bounds", "leaves the action bounds"),
    ],
)
def test_an_algorithm_that_is_wrong_is_told_why(how, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_algorithm(lambda env: Guess(env, how))  # type: ignore[arg-type,return-value]


def test_an_algorithm_that_learns_nothing_is_told_so():
    with pytest.raises(
        AssertionError, match=r"loss is [\d.]+; it must be below [\d.]+, half the loss"
    ):
        check_learning(Guess(environments.bandit(64)), 640)  # type: ignore[arg-type]


def test_the_registry_fixture_comes_with_the_package(pytester_registry):
    assert pytester_registry is registry


@pytest.fixture
def pytester_registry(request):
    """The fixture of the installed pytest plugin, asked for by name."""
    return request.getfixturevalue("registry")


def test_a_task_may_observe_nothing_but_depths():
    check_environment(SeeingTask((4, 6, 1), jnp.uint16))
