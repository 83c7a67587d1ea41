"""The manifest and the options; imported for listing, so nothing heavy here."""

from __future__ import annotations

import dataclasses

from r2s_core.cameras.plugins import PinholeConfig
from r2s_core.plugin import Plugin, option


@dataclasses.dataclass(frozen=True)
class TemplateNameConfig(PinholeConfig):
    """The options of `pinhole`, with the optics of an Intel RealSense D435 by its data sheet."""

    field_of_view: float = option(
        42.0, "vertical, degrees; that of the colour sensor", minimum=1.0, maximum=170.0
    )
    size: tuple[int, int] | None = option(
        (64, 48), "[width, height], pixels", minimum=1, maximum=1024
    )
    channels: tuple[str, ...] = option(
        ("rgb", "depth"), "what it measures", choices=("rgb", "depth", "segmentation")
    )
    depth_range: tuple[float, float] = option(
        (0.3, 3.0), "m, between which its depth is reliable"
    )


PLUGIN = Plugin(
    name="template_name",
    kind="camera",
    contract=2,
    summary="a depth camera with the optics of an Intel RealSense D435",
    target="r2s_template_module.camera:make",
    config=TemplateNameConfig,
)
