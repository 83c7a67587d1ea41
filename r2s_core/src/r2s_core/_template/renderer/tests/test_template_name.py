"""`template_name` keeps the contract: it draws the state that it is given, and no other."""

import numpy as np
import pytest
from r2s_core.errors import BackendError
from r2s_core.testing import check_renderer
from r2s_core.testing.renderer_kit import poses, seen_scene
from r2s_template_module.plugin import TemplateNameConfig


@pytest.fixture
def make(registry):
    """Builds the renderer, as a user would get it."""

    def build(scene, worlds, **options):
        config = TemplateNameConfig(**options)
        return registry.build("renderer", "template_name", scene, worlds, config)

    return build


def test_it_keeps_the_contract(make):
    check_renderer(make)


def test_without_shade_a_geom_has_one_colour(make):
    scene = seen_scene(16, 1, ("rgb", "segmentation"))
    renderer = make(scene, 1, shade=0.0)
    images = renderer.render(*poses(scene.model, 1), {}, {"front": np.ones(1, bool)})
    ball = images["front_segmentation"][..., 0] == scene.model.body("ball").id + 1
    assert np.ptp(images["front"][ball], axis=0).max() == 0


def test_it_refuses_to_vary_what_it_does_not_read(make):
    with pytest.raises(BackendError, match="cannot vary light_dir"):
        make(seen_scene(16, varied=frozenset({"light_dir"})), 1)
