"""Manifests of the pick-and-place package; light."""

from __future__ import annotations

from r2s_core.plugin import NoConfig, Plugin
from r2s_envs_pick_place.config import PickPlaceConfig, PlaceConfig, ReachConfig

PICK_PLACE = Plugin(
    name="real2sim_pick_place",
    kind="environment",
    summary="A robot arm picks up a scanned object and brings it to a goal",
    target="r2s_envs_pick_place.task.make:make",
    config=PickPlaceConfig,
    inputs="r2s_envs_pick_place.task.make:keep_inputs",
    default=True,
)


def _reward(name: str, summary: str, config: type = NoConfig) -> Plugin:
    return Plugin(
        name=name,
        kind="reward",
        summary=summary,
        target=f"r2s_envs_pick_place.task.rewards:{name}",
        config=config,
    )


REACH = _reward("reach", "the gripper is near the object", ReachConfig)
ALIGN = _reward("align", "the fingers are turned to close along the object's narrow direction")
GRASP = _reward("grasp", "the object is held between the fingertips")
LIFT = _reward("lift", "the held object rises from the table")
PLACE = _reward("place", "the held object is near the goal", PlaceConfig)
AT_GOAL = _reward("at_goal", "the object is within 2.5 cm of the goal")
RELEASE = _reward("release", "the object stands at the goal and the gripper has let go")
SPARSE = _reward("sparse", "+1 when solved, else -1")
