"""Hooks: what happens in a run, broadcast on the host between compiled chunks.

A hook plugin (group `r2s.hooks`) builds an object whose methods, marked with `hookimpl`, are named
as those of `HookSpecs`; it may leave out methods, and arguments of those it has:

    class StopWhenGood:
        @hookimpl
        def r2s_metrics(self, metrics):
            return metrics["success"] > 0.99
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from r2s_core import registry
from r2s_core.errors import PluginError, R2SError

if TYPE_CHECKING:
    from r2s_core.config import RunConfig, Use

hookspec = pluggy.HookspecMarker("r2s")
hookimpl = pluggy.HookimplMarker("r2s")


class HookError(R2SError):
    """A hook raised an error of its own."""


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


class Hooks:
    """The hooks of one run."""

    def __init__(self, hooks: Mapping[str, Use], run_dir: Path) -> None:
        """Build the configured hooks.

        Args:
            hooks: `RunConfig.hooks`.
            run_dir: the run's folder, for hooks that write files.

        Raises:
            PluginError: one cannot be built, or listens to something that does not exist.
        """
        self.manager = pluggy.PluginManager("r2s")
        self.manager.add_hookspecs(HookSpecs)
        for label, use in hooks.items():
            hook = registry.build("hook", use.use, use.options, run_dir)
            try:
                self.manager.register(hook, name=label)
                self.manager.check_pending()
            except pluggy.PluginValidationError as error:
                raise PluginError(f"hook '{label}': {error}") from error

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

    def _call(self, name: str, **arguments: Any) -> list[Any]:
        """Broadcast; an error names the hook it comes from."""
        caller = getattr(self.manager.hook, name)
        try:
            return caller(**arguments)
        except R2SError:
            raise
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise  # a full disk is no hook's fault
            raise self._blame(caller, name, error) from error
        except Exception as error:
            raise self._blame(caller, name, error) from error

    @staticmethod
    def _blame(caller: pluggy.HookCaller, name: str, error: Exception) -> HookError:
        """Find the hook whose method is in the traceback; pluggy does not say which it was."""
        ran = {frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)}
        culprits = [
            implementation.plugin_name
            for implementation in caller.get_hookimpls()
            if getattr(implementation.function, "__code__", None) in ran
        ]
        hook = f"hook '{culprits[-1]}'" if culprits else "a hook"
        return HookError(
            f"{hook} failed in {name}: {type(error).__name__}: {error}; "
            "report it to its author, or take it out of `hooks`"
        )
