"""A recorded episode, a data set of them, and the arrays that algorithms learn from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from r2s_core.env.action_chunk import chunks
from r2s_core.errors import R2SError
from r2s_core.types import Demonstrations


@dataclasses.dataclass(frozen=True)
class Start:
    """Where a recorded episode began: in world `world` of `worlds`, reset with the key of `round`
    (see `recording.reset_key`). With the recording's configuration it can be played again."""

    seed: int
    round: int
    world: int
    worlds: int


@dataclasses.dataclass(frozen=True)
class Episode:
    """T control steps, from a start to an end; NumPy arrays."""

    obs: Mapping[str, np.ndarray]  # [T, ...], what was observed before each step, by group
    label: np.ndarray  # float32[T, A], the action that the demonstrator chose
    action: np.ndarray  # float32[T, A], the action that was executed
    terminated: bool  # the last step ended it, rather than the time
    reward: np.ndarray | None = None  # float32[T]
    success: bool | None = None  # None: it is not known
    final_obs: Mapping[str, np.ndarray] | None = None  # [...], after the last step
    start: Start | None = None

    def __len__(self) -> int:
        return len(self.action)

    def arrays(self) -> list[np.ndarray]:
        """All that it holds."""
        parts = [*self.obs.values(), *(self.final_obs or {}).values(), self.label, self.action]
        return parts if self.reward is None else [*parts, self.reward]


@dataclasses.dataclass(frozen=True)
class DataSet:
    """Episodes from a file, not yet fitted to an environment.

    names: of the numbers of each group, and of "action"; empty where the file has none.
    control_rate_hz: control steps per second.
    """

    episodes: tuple[Episode, ...]
    names: Mapping[str, tuple[str, ...]]
    control_rate_hz: float


def stacked(episodes: Sequence[Episode], action_chunk: int = 1) -> Demonstrations:
    """All steps of some episodes, each with the actions of `action_chunk` control steps.

    A last step whose observation afterwards is needed, because time ended the episode, but not
    known, is left out.

    Raises `R2SError` where nothing is left.
    """
    parts = [
        part
        for i, episode in enumerate(episodes)
        if (part := _steps(episode, i, action_chunk)) is not None
    ]
    if not parts:
        raise R2SError("demonstrations: there is not a single step in them")
    if any(part.reward is None for part in parts):
        parts = [dataclasses.replace(part, reward=None) for part in parts]
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def _steps(episode: Episode, index: int, action_chunk: int) -> Demonstrations | None:
    final = episode.final_obs
    if final is None and episode.terminated:  # nothing is learned from what follows
        final = {name: x[-1] for name, x in episode.obs.items()}
    length = len(episode) - (final is None)
    if length < 1:
        return None
    after = {
        name: np.concatenate([x[1:], x[-1:] if final is None else final[name][None]])[:length]
        for name, x in episode.obs.items()
    }
    ends = np.arange(length) == len(episode) - 1
    return Demonstrations(
        obs={name: x[:length] for name, x in episode.obs.items()},  # type: ignore[arg-type]
        label=chunks(episode.label, action_chunk)[:length],  # type: ignore[arg-type]
        action=chunks(episode.action, action_chunk)[:length],  # type: ignore[arg-type]
        next_obs=after,  # type: ignore[arg-type]
        reward=None if episode.reward is None else episode.reward[:length],  # type: ignore[arg-type]
        terminated=ends & episode.terminated,  # type: ignore[arg-type]
        truncated=ends & (not episode.terminated),  # type: ignore[arg-type]
        episode=np.full(length, index, np.int32),  # type: ignore[arg-type]
    )
