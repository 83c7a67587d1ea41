"""The manifest and the options; imported for listing, so nothing heavy here."""

from __future__ import annotations

import dataclasses

from r2s_core.plugin import Plugin, option

Vector = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class TemplateNameConfig:
    """Options of the camera `template_name`."""

    position: Vector = option(doc="m, in the frame of `mount`")
    look_at: Vector = option(doc="the point that it looks at, m, in the same frame")
    mount: str = option("world", "the body or site that carries it; world: it stands still")
    width: int = option(64, "pixels; the height is three quarters of it", minimum=4, maximum=1024)
    period: int = option(1, "control steps from one image to the next", minimum=1)


PLUGIN = Plugin(
    name="template_name",
    kind="camera",
    contract=2,
    summary="a depth camera with the optics of an Intel RealSense D435",
    target="r2s_template_module.camera:make",
    config=TemplateNameConfig,
)
