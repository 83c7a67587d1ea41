"""What a bundle is worth: in the run's own evaluation, and on r2s-deploy's simulated robot."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r2s_core.errors import R2SError
from r2s_deploy import bundle as bundles
from r2s_deploy.errors import DeployError
from r2s_deploy.rehearse import rehearse, wilson

_RESULT = "result.json"


@dataclasses.dataclass(frozen=True)
class Stage:
    """scene: an MJCF file, as `r2s scene` writes it. episodes: how many are played there."""

    scene: Path
    episodes: int


def evaluated(run_dir: Path) -> dict[str, Any]:
    """What the run's own evaluation found, for the certificate; empty where there was none."""
    try:
        found = json.loads((run_dir / _RESULT).read_text())
        low, high = (float(x) for x in found["success_ci95"])
        return {
            "evaluated": {
                "success": float(found["success_rate"]),
                "success_ci95": [low, high],
                "episodes": int(found["episodes"]),
            }
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def rehearsed(bundle: bundles.Bundle, stage: Stage) -> Mapping[str, Any]:
    """Episodes on the simulated robot at 1 kHz, for the certificate; needs MuJoCo.

    Raises `R2SError` where they cannot be played.
    """
    played = []
    try:
        for episode in rehearse(bundle, stage.scene, stage.episodes):
            played.append(episode)
            if len(played) % 50 == 0:
                print(f"rehearsed {len(played)} episodes ...", flush=True)
    except DeployError as error:
        raise R2SError(f"the bundle cannot be rehearsed: {error}") from error
    good = sum(each.success for each in played)
    low, high = wilson(good, len(played))
    stopped = Counter(each.stopped for each in played if each.stopped)
    print(
        f"rehearsed: {100 * good / len(played):.1f} % of {len(played)} episodes succeed on the "
        f"simulated robot (95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
    )
    return {
        "success": good / len(played),
        "success_ci95": [low, high],
        "episodes": len(played),
        "stopped": dict(stopped.most_common(10)),
        "robot": "r2s_deploy.simulated: MuJoCo in another process, cycles of 1 ms, full speed",
        "scene": stage.scene.name,
    }
