"""`renderer: auto`: what it chooses, and that a run keeps to it."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import yaml

from r2s_core import registry
from r2s_core.camera import Camera, looking_at
from r2s_core.config import Use, load_config
from r2s_core.env import build, renderer_choice
from r2s_core.env.build import wrap_task
from r2s_core.env.renderer_choice import choose, images_per_second
from r2s_core.errors import BackendError, ConfigError
from r2s_core.rendering.render import missing_gl_advice, probe_gl
from r2s_core.testing.renderer_kit import seen_scene
from r2s_core.testing.tasks import SeenCartTask
from r2s_core.training.run import run

BUILD = registry.build


@pytest.fixture
def speeds(monkeypatch):
    """Renderers that are not built, and their images per second by name; None: it refuses."""
    known: dict[str, Any] = {"rays": 1000.0, "gl": 1000.0, "warp": 1000.0}
    asked = []

    class Drawn:
        def __init__(self, name):
            self.name, self.closed = name, False

        def close(self):
            asked.append(f"{self.name} closed")

    def built(kind, name, scene, worlds, options):
        asked.append(name)
        if known[name] is None:
            raise BackendError(f"{name} refuses")
        return Drawn(name)

    monkeypatch.setattr("r2s_core.registry.build", built)
    monkeypatch.setattr(renderer_choice, "images_per_second", lambda r, scene: known[r.name])
    known["asked"] = asked
    return known


@pytest.mark.parametrize(("gl", "chosen"), [(2900.0, "rays"), (3100.0, "gl"), (None, "rays")])
def test_gl_is_chosen_where_it_is_clearly_faster(speeds, gl, chosen):
    speeds["gl"] = gl
    assert choose(seen_scene(16), 8, compiled=False).use == chosen
    assert ("gl closed" in speeds["asked"]) == (gl is not None)


def test_what_rays_cannot_draw_is_gls(speeds):
    speeds["rays"] = None
    assert choose(seen_scene(16), 8, compiled=False).use == "gl"
    speeds["gl"] = None
    with pytest.raises(BackendError, match="rays refuses; gl refuses"):
        choose(seen_scene(16), 8, compiled=False)


def test_a_gpu_draws_with_warp_where_the_step_is_compiled(speeds, monkeypatch):
    monkeypatch.setattr(renderer_choice, "has_nvidia_gpu", lambda: True)
    assert choose(seen_scene(16), 8, compiled=True).use == "warp"
    assert choose(seen_scene(16), 8, compiled=False).use == "rays"
    speeds["warp"] = None  # objects of several shapes, which it cannot vary
    assert choose(seen_scene(16), 8, compiled=True).use == "rays"


def test_the_options_are_the_plugins_own(speeds):
    assert choose(seen_scene(16), 8, compiled=False).options == (
        registry.get("renderer", "rays").default_options()
    )


@pytest.mark.parametrize("name", ["rays", "gl"])
def test_images_are_counted_over_worlds_and_cameras(name):
    if name == "gl" and probe_gl() is None:
        pytest.skip(missing_gl_advice())
    scene = seen_scene(16, 2, ("rgb",), varied=frozenset({"geom_rgba"}))
    renderer = BUILD("renderer", name, scene, 8, registry.get("renderer", name).default_options())
    calls, render = [], renderer.render
    renderer.render = lambda *state: calls.append(1) or render(*state)
    speed = images_per_second(renderer, scene, 0.1)
    assert np.isclose(speed, 16 * (len(calls) - 2) / 0.1, rtol=0.5)


class FeltCart(SeenCartTask):
    """The cart, with one camera; a policy feels its speed."""

    info = dataclasses.replace(
        SeenCartTask.info,
        rewards={},
        observation_names={"proprioception": ("speed",)},
        cameras={"own": Camera((0, -2, 0.5), looking_at((0, -2, 0.5), (0, 0, 0.3), (0, 0, 1)))},
    )

    def proprioception(self, task, view):
        return view.qvel[:1]


@pytest.fixture
def cart_run(tiny):
    """Runs the tiny learner on the cart, seen by its camera of 16 x 16 pixels."""

    def make_env(config, worlds, training):
        return wrap_task(FeltCart(), config, worlds, training=training)

    def go(resume=False, **environment):
        seen = {"num_parallel_envs": 2, "vision_enabled": True, "camera_resolution": [16, 16]}
        path = tiny.write(
            environment={**seen, **environment},
            training={"total_timesteps": 4},
            evaluation={"episodes": 0},
        )
        run(load_config(path), resume=resume, make_env=make_env)
        return yaml.safe_load((tiny.run_dir / "config.yaml").read_text())["environment"]

    return go


def test_a_run_records_what_was_chosen_and_resumes_with_it(cart_run, monkeypatch):
    rays = registry.get("renderer", "rays").default_options()
    monkeypatch.setattr(build, "choose", lambda *_: Use("rays", rays))
    assert cart_run()["renderer"] == {"use": "rays", "threads": 0}
    monkeypatch.setattr(build, "choose", lambda *_: pytest.fail("it chose again"))
    assert cart_run(resume=True)["renderer"] == {"use": "rays", "threads": 0}
    with pytest.raises(ConfigError, match=r"environment\.renderer"):
        cart_run(resume=True, renderer="gl")
