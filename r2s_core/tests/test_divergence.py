"""Physics that breaks: refused at the door, kept off the screen, told once, and an end to it."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from r2s_core.backends.mujoco import MujocoBackend
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.backends.silence import silenced
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.errors import BackendError
from r2s_core.record.history import History
from r2s_core.system.progress import result_rows
from r2s_core.testing.tasks import CartTask
from r2s_core.training.divergence import DivergenceWatch, PhysicsDiverged
from r2s_core.types import Variants

WORLDS = 8


def watch(updates, trouble: str | None = None) -> list[str]:
    """What is told over updates, each of so many episodes and divergences."""
    history, told = History(), []
    env: Any = SimpleNamespace(spec=SimpleNamespace(num_worlds=WORLDS), trouble=trouble)
    watching = DivergenceWatch(env, history, told.append)
    for number, (episodes, diverged) in enumerate(updates, start=1):
        history.append({"episode/count": episodes, "env/diverged": diverged})
        watching.update(100 * number)
    return told


def test_a_divergence_is_told_once_with_where_it_was():
    assert watch([(8, 0)] * 5) == []
    told = watch([(8, 0), (8, 1), (8, 2), (8, 3)], "the velocity of the joint slide")
    assert len(told) == 1
    assert "By step 200 1 of 16 episodes ended by diverging physics (the velocity of" in told[0]


def test_training_ends_when_nearly_all_episodes_do_so_by_divergence():
    with pytest.raises(
        PhysicsDiverged, match=r"by step 200, 8 of the last 8 episodes ended by divergence"
    ):
        watch([(8, 1), (8, 8), (8, 8)])
    with pytest.raises(PhysicsDiverged, match=r"by step 800"):  # two episodes end an update
        watch([(2, 0)] * 4 + [(2, 2)] * 4)
    watch([(8, 7)] * 20)  # some go on: bad, but to be seen in the metrics
    watch([(1, 1)] * 7)  # too few to tell


def test_a_resumed_run_is_not_told_again():
    history, told = History(), []
    history.append({"step": 8.0, "episode/count": 8, "env/diverged": 1})
    env: Any = SimpleNamespace(spec=SimpleNamespace(num_worlds=WORLDS))
    DivergenceWatch(env, History(history.saved()), told.append).update(100)
    assert told == []


def test_an_evaluation_says_so_in_its_table():
    result = {"episodes": 8, "success_ci95": (0.0, 0.4), "success_rate": 0.0, "backend": "mujoco"}
    assert "physics diverged" not in dict(result_rows(result | {"diverged_episodes": 0}))
    rows = dict(result_rows(result | {"diverged_episodes": 3}))
    assert rows["physics diverged"] == "in 3 of them"


@pytest.mark.parametrize(
    ("field", "index", "value", "complaint"),
    [
        ("body_mass", 3, -0.1, "the mass of the body box is -0.1"),
        ("body_mass", 3, np.nan, "the mass of the body box is nan"),
        ("body_inertia", (3, 1), -1e-3, "moment of inertia of the body box"),
        ("geom_friction", (3, 0), -1.0, "the friction of the geom box"),
        ("dof_armature", 1, -1.0, "the armature of the degree of freedom 1"),
        ("dof_damping", 0, np.inf, "the damping of the degree of freedom 0 is inf"),
        ("qpos0", 0, np.nan, "the position of the coordinate 0 is nan"),
    ],
)
def test_what_no_physics_can_step_is_refused_by_name(field, index, value, complaint):
    task = CartTask()
    scene = task.scene()
    backend = MujocoBackend(scene, 2, MujocoConfig(threads=1))
    getattr(scene.model, field)[index] = value
    with pytest.raises(BackendError, match=complaint):
        VectorEnv(task, scene, backend, {}, EngineOptions(4))


def test_a_variant_is_refused_with_its_name():
    task = CartTask()
    scene = task.scene()
    mass = np.stack([scene.model.body_mass, -scene.model.body_mass])
    variants = Variants(("good", "bad"), (False, False), {"body_mass": mass})
    scene = dataclasses.replace(scene, variants=variants)
    backend = MujocoBackend(scene, 2, MujocoConfig(threads=1))
    with pytest.raises(BackendError, match="the mass of the body cart of bad is -1"):
        VectorEnv(task, scene, backend, {}, EngineOptions(4))


def test_mujoco_warns_nobody_and_leaves_no_file(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    scene = CartTask().scene()
    scene.model.actuator_ctrllimited[:] = 0
    scene.model.actuator_gear[:, 0] = 1e12
    backend = MujocoBackend(scene, WORLDS, MujocoConfig(threads=2))
    assert backend.trouble is None
    qpos = np.tile(scene.model.qpos0, (WORLDS, 1))
    wrong = qpos.copy()
    wrong[3, 0] = np.nan
    zero = np.zeros((WORLDS, scene.model.nv))
    physics = backend.init({}, jnp.asarray(qpos), jnp.asarray(zero))
    push: Any = np.where(np.arange(WORLDS)[:, None] == 5, 1e9, 0.0)
    moved = backend.step(physics, push)
    np.testing.assert_array_equal(moved.ok, np.arange(WORLDS) != 5)
    assert backend.trouble is not None
    assert "of the joint slide of the body cart was not finite, or beyond 1e10" in backend.trouble
    # A start state of which MuJoCo warns is not ok from the start.
    everyone: Any = np.ones(WORLDS, bool)
    started = backend.reset(moved, everyone, {}, wrong, zero)  # type: ignore[arg-type]
    np.testing.assert_array_equal(started.ok, np.arange(WORLDS) != 3)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_elsewhere_mujoco_is_as_loud_as_before():
    before = mujoco.MjLogConfig.get()
    with silenced(), silenced():
        assert not mujoco.MjLogConfig.get().logto_file
    with pytest.raises(ValueError, match="x"), silenced():
        raise ValueError("x")
    after = mujoco.MjLogConfig.get()
    assert (after.logto_console, after.logto_file) == (before.logto_console, before.logto_file)
