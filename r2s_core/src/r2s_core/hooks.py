"""Hooks: what happens in a run, broadcast on the host between compiled chunks.

A hook plugin (group `r2s.hooks`) builds an object whose methods, marked with `hookimpl`, are named
as those of `HookSpecs`; it may leave out methods, and arguments of those it has:

    class StopWhenGood:
        @hookimpl
        def r2s_metrics(self, metrics):
            return metrics.get("episode/success", 0.0) > 0.99

A hook that fails does not end the run: its first failure is reported, later ones are counted. One
without which the run is worth nothing sets `failure_is_fatal = True`.
"""

from __future__ import annotations

import copy
import dataclasses
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from r2s_core import registry
from r2s_core.errors import PluginError, R2SError
from r2s_core.system.foreign import calling, debugging
from r2s_core.system.text import printable

if TYPE_CHECKING:
    from r2s_core.config import RunConfig, Use

hookspec = pluggy.HookspecMarker("r2s")
hookimpl = pluggy.HookimplMarker("r2s")


class HookSpecs:
    """What a hook may listen to."""

    @hookspec
    def r2s_run_start(self, config: RunConfig, run_dir: Path, step: int) -> None:
        """A run starts; `step` is 0, or where it resumes."""

    @hookspec
    def r2s_metrics(self, step: int, metrics: Mapping[str, float]) -> bool | None:
        """Metrics at `step` (environment steps over all worlds). Returning True stops training."""

    @hookspec
    def r2s_checkpoint(self, path: Path, step: int) -> None:
        """A checkpoint is complete on disk."""

    @hookspec
    def r2s_run_end(self, result: Mapping[str, Any]) -> None:
        """The run is over; `result` is what result.json holds."""


@dataclasses.dataclass
class Listener:
    """One hook, with a manager of its own: no hook can stop another from being called."""

    label: str
    hook: Any
    manager: pluggy.PluginManager
    failures: int = 0


class Hooks:
    """The hooks of one run."""

    def __init__(
        self, hooks: Mapping[str, Use], run_dir: Path, note: Callable[[str], None] | None = None
    ) -> None:
        """Build the configured hooks.

        Args:
            hooks: `RunConfig.hooks`.
            run_dir: the run's folder, for hooks that write files.
            note: told of a hook that fails, in a line; by default stderr is.

        Raises:
            PluginError: one cannot be built, or listens to nothing or to what does not exist.
        """
        self._note = note or (lambda line: print(printable(line), file=sys.stderr))
        self._listeners = [
            listener(label, registry.build("hook", use.use, use.options, run_dir))
            for label, use in hooks.items()
        ]

    def run_start(self, config: RunConfig, run_dir: Path, step: int = 0) -> None:
        """Call `HookSpecs.r2s_run_start` of every hook."""
        self._call("r2s_run_start", config=config, run_dir=run_dir, step=step)

    def metrics(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Call `HookSpecs.r2s_metrics` of every hook; True if any of them asks to stop."""
        return any(self._call("r2s_metrics", step=step, metrics=metrics))

    def checkpoint(self, path: Path, step: int) -> None:
        """Call `HookSpecs.r2s_checkpoint` of every hook."""
        self._call("r2s_checkpoint", path=path, step=step)

    def run_end(self, result: Mapping[str, Any]) -> None:
        """Call `HookSpecs.r2s_run_end` of every hook."""
        self._call("r2s_run_end", result=result)
        for listener in self._listeners:
            if listener.failures > 1:
                self._note(f"hook '{listener.label}' failed {listener.failures} times in all")

    def _call(self, name: str, **arguments: Any) -> list[bool]:
        """What each hook answers; each has its own copy of what it is given.

        Raises `R2SError` where one fails whose failure is fatal; a full disk is no hook's fault.
        """
        answers: list[bool] = []
        for listener in self._listeners:
            own = {k: _copied(value) for k, value in arguments.items()}
            try:
                with calling(f"hook '{listener.label}'", listener.hook):
                    answers += map(bool, getattr(listener.manager.hook, name)(**own))
            except R2SError as error:
                self._failed(listener, error)
        return answers

    def _failed(self, listener: Listener, error: R2SError) -> None:
        if getattr(listener.hook, "failure_is_fatal", False):
            raise error
        listener.failures += 1
        if listener.failures == 1:
            self._note(f"{error}; the run goes on without it (told once)")
            if debugging():
                traceback.print_exception(error)


def listener(label: str, hook: Any) -> Listener:
    """A hook, ready to be called.

    Raises `PluginError` where it listens to nothing, or to what does not exist.
    """
    manager = pluggy.PluginManager("r2s")
    manager.add_hookspecs(HookSpecs)
    with calling(f"hook '{label}'", hook):
        try:
            manager.register(hook, name=label)
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginError(f"hook '{label}': {error}") from error
    if not manager.get_hookcallers(hook):
        raise PluginError(
            f"hook '{label}' listens to nothing: no method of {type(hook).__name__} is marked with "
            "r2s_core.hooks.hookimpl"
        )
    return Listener(label, hook, manager)


def _copied(value: Any) -> Any:
    """Mappings are copied; configurations are frozen, and all else is a number or a path."""
    return copy.deepcopy(dict(value)) if isinstance(value, Mapping) else value
