"""Installed environments in Gymnasium's registry: `r2s/PickPlace-v0`, others as `r2s/NAME-v0`."""

from __future__ import annotations

import re

import gymnasium

from r2s_core import registry

#: Environments with an id of their own; they are registered whether installed or not, so that
#: making one says what to install.
IDS = {"real2sim_pick_place": "r2s/PickPlace-v0"}


def register_installed() -> None:
    """Register what is not registered yet; imports no environment."""
    names = {registry.name_in_yaml(entry) for entry in registry.discover("environment")}
    for name in sorted(names | IDS.keys()):
        id_ = IDS.get(name, f"r2s/{re.sub(r'[^A-Za-z0-9_.-]', '-', name)}-v0")
        if id_ not in gymnasium.registry:
            gymnasium.register(
                id=id_,
                entry_point="r2s_gymnasium.single:Env",
                vector_entry_point="r2s_gymnasium.vector:VectorEnv",
                kwargs={"config": name},
            )
