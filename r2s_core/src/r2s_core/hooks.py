"""Hooks: the events of a run, broadcast on the host between compiled chunks.

A hook plugin (group `r2s.hooks`) builds an object whose methods, marked with `hookimpl`, are named
as those of `HookSpecs`; it may omit methods, and arguments of its methods:

    class StopWhenGood:
        @hookimpl
        def r2s_metrics(self, metrics):
            return metrics.get("episode/success", 0.0) > 0.99

A hook that fails does not end the run: its first failure is reported, later ones are counted. A
hook that the run cannot do without sets `failure_is_fatal = True`.
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
    """The events that a hook may listen to."""

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
            note: called with one line about a hook that fails; by default printed on stderr.

        Raises:
            PluginError: a hook cannot be built, or listens to no event or to an unknown one.
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
        """Each hook's answer; each gets its own copy of the arguments.

        Raises `R2SError` where a hook with `failure_is_fatal` fails, or the disk is full.
        """
        answers: list[bool] = []
        for listener in self._listeners:
            copies = {k: _copied(value) for k, value in arguments.items()}
            try:
                with calling(f"hook '{listener.label}'", listener.hook):
                    answers += map(bool, getattr(listener.manager.hook, name)(**copies))
            except R2SError as error:
                self._failed(listener, error)
        return answers

    def _failed(self, listener: Listener, error: R2SError) -> None:
        if getattr(listener.hook, "failure_is_fatal", False):
            raise error
        listener.failures += 1
        if listener.failures == 1:
            self._note(f"{error}; the run continues without it (reported once)")
            if debugging():
                traceback.print_exception(error)


def listener(label: str, hook: Any) -> Listener:
    """A hook, ready to be called.

    Raises `PluginError` where it listens to no event, or to an unknown one.
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
    """A copy of a mapping; configurations are frozen, and everything else is a number or path."""
    return copy.deepcopy(dict(value)) if isinstance(value, Mapping) else value
