"""The camera: the optics of a device, so that a YAML file says only where it is."""

from __future__ import annotations

from r2s_core.camera import WORLD, Camera, looking_at

from r2s_template_module.plugin import TemplateNameConfig

#: Intel RealSense D435, of its data sheet: the colour sensor's vertical field of view, degrees, and
#: the distances at which depth is reliable, m.
FIELD_OF_VIEW = 42.0
DEPTH_RANGE = (0.3, 3.0)


def make(config: TemplateNameConfig) -> Camera:
    """Build the camera. Raises ConfigError where its directions leave the orientation open."""
    up = (0.0, 0.0, 1.0) if config.mount == WORLD else (1.0, 0.0, 0.0)
    return Camera(
        position=config.position,
        quaternion=looking_at(config.position, config.look_at, up),
        field_of_view=FIELD_OF_VIEW,
        size=(config.width, round(0.75 * config.width)),
        channels=("rgb", "depth"),
        mount=config.mount,
        period=config.period,
        depth_range=DEPTH_RANGE,
    )
