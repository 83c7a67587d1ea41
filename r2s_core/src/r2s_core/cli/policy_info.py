"""`r2s info runs/x`: what a saved policy reads and gives."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from r2s_core.policy import packed
from r2s_core.policy.cameras import described
from r2s_core.policy.saved import SavedPolicy, load_policy
from r2s_core.system.text import printable


def show(path: Path, as_json: bool) -> None:
    """Print the contract of a policy; raises `PolicyError` where there is none."""
    policy = packed.load(path) if path.is_file() else load_policy(path)
    if as_json:
        print(json.dumps(policy.contract, indent=2))
        return
    for line in _lines(policy):
        print(printable(line))


def _lines(policy: SavedPolicy) -> Iterator[str]:
    spec, rate = policy.spec, policy.spec.control_rate_hz
    yield f"policy of {spec.task}" + _origin(policy.contract["provenance"])
    plan = f", each of {spec.action_chunk} control steps" if spec.action_chunk > 1 else ""
    yield (
        f"an action every {1000 * spec.action_chunk / rate:.4g} ms{plan}; in training up to "
        f"{spec.max_episode_steps:,} control steps at {rate:g} Hz"
    )
    yield f"units: {spec.units}"
    yield ""
    yield "reads, by observation group:"
    for name, group in spec.observations.items():
        yield f"  {name}: {group.dtype}{list(group.shape)}" + (", an image" * group.is_image)
        yield from _wrapped(", ".join(group.names))
    if spec.cameras:
        yield ""
        yield "cameras in training:"
    for name, camera in spec.cameras.items():
        yield f"  {name}"
        yield from _wrapped(described(camera, rate))
        yield f"    quaternion (w, x, y, z) {' '.join(f'{x:.6f}' for x in camera.quaternion)}"
    yield ""
    yield f"gives {len(spec.action_names)} numbers:"
    bounds = zip(spec.action_names, spec.action_low, spec.action_high, strict=True)
    yield from (f"  {name} from {low:g} to {high:g}" for name, low, high in bounds)


def _origin(provenance: Mapping[str, Any]) -> str:
    words = ("algorithm", "robot", "run", "seed", "env_steps")
    facts = [
        f"{w.replace('_', ' ')} {provenance[w]}" for w in words if provenance.get(w) is not None
    ]
    return ": " * bool(facts) + ", ".join(facts)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 96, initial_indent="    ", subsequent_indent="    ")
