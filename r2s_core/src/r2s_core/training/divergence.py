"""Watches training for diverging physics: reports it once, and stops where nearly all worlds do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from r2s_core.errors import R2SError
from r2s_core.record.history import History
from r2s_core.types import Environment

#: Training stops where this share of the latest episodes ended by divergence.
_HOPELESS = 0.9


class PhysicsDiverged(R2SError):
    """The physics of nearly all worlds became infinite or NaN."""


class DivergenceWatch:
    """Compares the running totals of a history from update to update."""

    def __init__(
        self, env: Environment[Any], history: History, note: Callable[[str], None]
    ) -> None:
        """note: called with the one line for the user."""
        self._env, self._history, self._note = env, history, note
        self._reported = history.diverged > 0
        self._mark()

    def update(self, step: int) -> None:
        """Check after an update; step: environment steps so far.

        Raises `PhysicsDiverged` once as many episodes have ended as there are worlds, nearly all of
        them by divergence.
        """
        history, worlds = self._history, self._env.spec.num_worlds
        if history.diverged and not self._reported:
            self._reported = True
            self._note(
                f"By step {step:,} {history.diverged:,.0f} of {history.episodes:,.0f} episodes "
                f"ended by diverging physics{self._cause()}; such worlds are reset and counted in "
                "env/diverged; this is reported only once."
            )
        ended = history.episodes - self._episodes
        if ended < worlds:
            return
        diverged = history.diverged - self._diverged
        self._mark()
        if diverged >= _HOPELESS * ended:
            raise PhysicsDiverged(
                f"The physics diverges: by step {step:,}, {diverged:,.0f} of the last {ended:,.0f} "
                f"episodes ended by divergence{self._cause()}. Training has stopped, and earlier "
                "checkpoints are kept; check the objects' masses and sizes, environment.physics "
                "and the ranges under randomization."
            )

    def _mark(self) -> None:
        self._episodes, self._diverged = self._history.episodes, self._history.diverged

    def _cause(self) -> str:
        trouble = getattr(self._env, "trouble", None)
        return "" if trouble is None else f" ({trouble})"
