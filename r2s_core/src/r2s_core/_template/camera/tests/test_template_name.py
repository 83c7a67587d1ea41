"""`template_name` has the device's optics, and looks where it is told to."""

import mujoco
import numpy as np
import pytest
from r2s_core.camera import Camera
from r2s_core.errors import ConfigError
from r2s_template_module.plugin import TemplateNameConfig


@pytest.fixture
def make(registry):
    """Builds the camera, as a user would get it."""

    def build(position=(1.0, 0.5, 0.8), look_at=(0.5, 0.0, 0.1), **options):
        config = TemplateNameConfig(position=position, look_at=look_at, **options)
        return registry.build("camera", "template_name", config)

    return build


def test_a_policy_observes_colours_and_depth(make):
    camera = make(size=(32, 24))
    assert isinstance(camera, Camera)
    groups = {name: (spec.shape, spec.dtype) for name, spec in camera.groups("front").items()}
    assert groups == {"front": ((24, 32, 3), "uint8"), "front_depth": ((24, 32, 1), "uint16")}
    assert (camera.field_of_view, camera.depth_range) == (42.0, (0.3, 3.0))


def test_it_looks_at_the_point_with_the_sky_above(make):
    camera = make()
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, np.array(camera.quaternion))
    right, up, backward = turn.reshape(3, 3).T
    towards = np.subtract((0.5, 0.0, 0.1), camera.position)
    np.testing.assert_allclose(-backward, towards / np.linalg.norm(towards), atol=1e-9)
    assert abs(right[2]) < 1e-9
    assert up[2] > 0


def test_a_direction_that_is_upward_already_is_refused(make):
    with pytest.raises(ConfigError, match="along the viewing direction"):
        make(position=(0.0, 0.0, 1.0), look_at=(0.0, 0.0, 0.0), up=(0.0, 0.0, 1.0))
