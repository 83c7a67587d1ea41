"""The camera: the optics of a device, so that a YAML file says only where it is."""

from __future__ import annotations

from r2s_core.camera import Camera
from r2s_core.cameras import pinhole

from r2s_template_module.plugin import TemplateNameConfig


def make(config: TemplateNameConfig) -> Camera:
    """Build the camera. Raises ConfigError where its directions leave the orientation open."""
    return pinhole.make(config)
