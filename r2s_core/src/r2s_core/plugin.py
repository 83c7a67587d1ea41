"""Manifests: a plugin's description, available before anything heavy is imported.

An entry point names a `Plugin` in a light module; `target` is the string "module:callable" of the
builder, which may import JAX. Builders by kind:

    algorithm    make(env: Environment, config) -> Algorithm
    environment  make(config) -> Task        (or -> a complete Environment)
    reward       make(config) -> RewardFn
    randomizer   make(config, context: RandomizerContext) -> Randomizer
    backend      make(scene: SceneSpec, num_worlds: int, config) -> Backend
    camera       make(config) -> Camera (`r2s_core.camera`)
    renderer     make(scene: SeenScene, num_worlds: int, config) -> Renderer
    robot        make(config) -> Robot (`r2s_core.robot`)
    hook         make(config, run_dir: Path) -> an object with `r2s_core.hooks.hookimpl` methods
    dataset      read(path: Path, features, episodes) -> DataSet, see
                 `r2s_core.demonstrations.dataset`
    command      configure(parser: argparse.ArgumentParser) in the light module, and
                 main(args: argparse.Namespace) -> int as the target
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

#: The version of the contract in `r2s_core.types` that this r2s-core implements.
CONTRACT_VERSION = 2

Kind = Literal[
    "algorithm",
    "environment",
    "robot",
    "reward",
    "randomizer",
    "backend",
    "camera",
    "renderer",
    "hook",
    "dataset",
    "command",
]

#: Entry-point group of each kind.
GROUPS: dict[Kind, str] = {
    "algorithm": "r2s.algorithms",
    "environment": "r2s.environments",
    "robot": "r2s.robots",
    "reward": "r2s.rewards",
    "randomizer": "r2s.randomizers",
    "backend": "r2s.backends",
    "camera": "r2s.cameras",
    "renderer": "r2s.renderers",
    "hook": "r2s.hooks",
    "dataset": "r2s.datasets",
    "command": "r2s.commands",
}


@dataclasses.dataclass(frozen=True)
class NoConfig:
    """For plugins without options."""


@dataclasses.dataclass(frozen=True)
class Plugin:
    """A plugin's manifest.

    name: as users write it in YAML.
    target: "module:callable" of the builder, imported only when used.
    config: a frozen dataclass of options made with `option`; its fields are the YAML keys.
    contract: the contract version it was built for.
    inputs: for environments and randomizers, "module:callable" of `keep_inputs(config, keep) ->
        config`: the options with each of the user's files replaced by what `keep`
        (`r2s_core.record.inputs.Keep`) returns for the data prepared from it, so that the run's
        folder is complete without those files.
    default: for environments only, whether configurations that name none use this one.
    marker: for data sets only, the path, within a folder of this format, of a file that marks it.
    configure: for commands only, adds the command's arguments; must import nothing heavy.
    """

    name: str
    kind: Kind
    summary: str
    target: str
    config: type = NoConfig
    contract: int = CONTRACT_VERSION
    configure: Callable[[Any], None] | None = None
    inputs: str | None = None
    marker: str | None = None
    default: bool = False


def option(
    default: Any = dataclasses.MISSING,
    doc: str = "",
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: tuple[Any, ...] | None = None,
    factory: Callable[[], Any] | None = None,
) -> Any:
    """A field of a configuration dataclass: default, one-line documentation, and its range.

    minimum/maximum are inclusive, above/below exclusive. `factory` makes a mutable default.
    """
    limits = {
        "minimum": minimum,
        "maximum": maximum,
        "above": above,
        "below": below,
        "choices": choices,
    }
    metadata = {"doc": doc, **{k: v for k, v in limits.items() if v is not None}}
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)
