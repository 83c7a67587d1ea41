"""The features of a recording: what its data set has of every frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from r2s_core.errors import R2SError
from r2s_core.types import ArraySpec
from r2s_lerobot import layout
from r2s_lerobot.videos import LOSSLESS, Codec


@dataclasses.dataclass(frozen=True)
class Description:
    """What all episodes of a recording share.

    groups: the names of the numbers of each observation group. actions: the actions' names.
    rate_hz: control steps per second. executed: whether noise was put on what was executed, so
    that it is kept beside the labels. task: what is done, in words. images: the observation groups
    that are images; of these, uint8[H, W, 3] become videos of `codec`, and others stay arrays.
    """

    groups: Mapping[str, tuple[str, ...]]
    actions: tuple[str, ...]
    rate_hz: float
    executed: bool
    task: str
    robot: str | None = None
    images: Mapping[str, ArraySpec] = dataclasses.field(default_factory=dict)
    codec: Codec = LOSSLESS

    def feature_of(self, group: str) -> str:
        """The feature that holds an observation group."""
        return layout.feature_of(group, is_filmed=group in self.filmed)

    @property
    def filmed(self) -> tuple[str, ...]:
        """The groups that become videos."""
        return tuple(
            name
            for name, spec in self.images.items()
            if spec.dtype == "uint8" and spec.shape[2] == 3
        )

    def features(self) -> dict[str, dict[str, Any]]:
        """As in meta/info.json."""

        def feature(dtype: str, names: tuple[str, ...] | None = None) -> dict[str, Any]:
            size = 1 if names is None else len(names)
            return {"dtype": dtype, "shape": [size], "names": names and list(names)}

        groups = [*self.groups, *self.images]
        found = {
            self.feature_of(group): feature("float32", names)
            for group, names in self.groups.items()
        }
        found |= {self.feature_of(group): self._pictured(group) for group in self.images}
        if len(found) < len(groups):
            raise R2SError(
                f"the observation groups {', '.join(groups)} would be one feature of a LeRobot "
                "data set; name them differently"
            )
        found[layout.ACTION] = feature("float32", self.actions)
        if self.executed:
            found[layout.EXECUTED] = feature("float32", self.actions)
        found[layout.REWARD] = feature("float32")
        found |= {name: feature("bool") for name in (layout.DONE, layout.SUCCESS)}
        return found | {name: feature(dtype) for name, dtype in layout.INDICES.items()}

    def _pictured(self, group: str) -> dict[str, Any]:
        """The feature of images: a video, or arrays of whole numbers."""
        spec, names = self.images[group], ["height", "width", "channels"]
        found = {"dtype": spec.dtype, "shape": list(spec.shape), "names": names}
        if group not in self.filmed:
            return found
        return found | {"dtype": "video", "info": self.codec.info(spec.shape, self.rate_hz)}
