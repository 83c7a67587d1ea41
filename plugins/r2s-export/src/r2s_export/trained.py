"""Whether a run's configuration is still the one that its policy was trained with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from r2s_core.errors import R2SError
from r2s_core.policy.saved import SavedPolicy
from r2s_core.record import inputs
from r2s_core.system import files

_NOT_OF_THE_POLICY = ("name", "output")


def check_config(path: Path, policy: SavedPolicy) -> None:
    """Raises `R2SError` where the config.yaml at `path`, which `load_config` has read, is not the
    one whose hash the policy has; policies without it pass.

    A bundle takes the object, the robot and the control law from the configuration: of another one
    it would be whole, and wrong on a robot.
    """
    trained = policy.contract["provenance"].get("config_sha256")
    if trained is None or trained == _hash_of_file(path):
        return
    raise R2SError(
        f"{path} was changed since the policy was trained, or is of another run (SHA-256 of the "
        f"policy's configuration: {str(trained)[:16]}...); put the run's own config.yaml back, or "
        "train with the changed one."
    )


def _hash_of_file(path: Path) -> str | None:
    """As `r2s_core.record.folder.config_hash`, of what is written: a later version may know options
    that this file does not have. Reward functions, which it may name, are not looked at."""
    data = files.read_bytes(path, limit=files.MIB, what="a configuration")
    written = yaml.safe_load(data)
    if not isinstance(written, Mapping):
        return None
    kept = {k: v for k, v in written.items() if k not in _NOT_OF_THE_POLICY}
    try:
        text = json.dumps(inputs.portable(kept), sort_keys=True)
    except (TypeError, ValueError):  # dates, say, which no run writes
        return None
    return hashlib.sha256(text.encode()).hexdigest()
