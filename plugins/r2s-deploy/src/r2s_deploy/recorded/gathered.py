"""Numbers of messages, gathered as they come, and what was known of them at each moment."""

from __future__ import annotations

import dataclasses
import math
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from r2s_deploy.errors import DeployError
from r2s_deploy.log import Array
from r2s_deploy.recorded import mcap_file, messages
from r2s_deploy.recorded.mcap_file import Recorded, Topic

_MOST = 5_000_000  # messages
_UNSAID = math.nan
Names = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Series:
    """N messages in the order of their times [N], s, which rise.

    values [N, k]. stamps [N]: when each was measured, on its sender's clock; NaN: not said.
    """

    times: Array
    values: Array
    stamps: Array

    @staticmethod
    def of(times: Array, values: Array, stamps: Array) -> Series:
        """Of messages in any order; of those of the same time, the last."""
        order = np.argsort(times, kind="stable")
        times, values, stamps = times[order], values[order], stamps[order]
        last = np.append(np.diff(times) > 0.0, np.ones(min(1, len(times)), bool))
        return Series(times[last], values[last], stamps[last])

    @staticmethod
    def none(width: int) -> Series:
        """No messages of `width` numbers."""
        return Series(np.empty(0), np.empty((0, width)), np.empty(0))

    def __len__(self) -> int:
        return len(self.times)

    def known(self, moments: Array) -> Array:
        """The newest message at each moment [T], int[T]; -1: there was none yet."""
        return np.searchsorted(self.times, moments, side="right") - 1


class _Rows:
    """Messages of `width` numbers each."""

    def __init__(self, width: int) -> None:
        self._width, self._flat = width, array("d")

    def add(self, time: float, stamp: float | None, values: Sequence[float]) -> None:
        if len(values) != self._width:
            raise DeployError(f"it has {len(values)} numbers, and those before {self._width}")
        self._flat.append(time)
        self._flat.append(_UNSAID if stamp is None else stamp)
        self._flat.extend(values)

    def table(self) -> Array:
        """Time, stamp and numbers, [N, 2 + width], in the order of the file."""
        return np.array(self._flat).reshape(-1, 2 + self._width)

    def series(self) -> Series:
        table = self.table()
        return Series.of(table[:, 0], table[:, 2:], table[:, 1])


class Gathered:
    """What the messages of some topics say.

    frames: by role, the names of the frames that its poses are in.
    """

    def __init__(self) -> None:
        self.frames: dict[str, set[str]] = {"object": set(), "goal": set()}
        self._poses, self._goals = _Rows(7), _Rows(3)
        #: By role and the names of joints: their angles, then their velocities (NaN: none).
        self._states: dict[str, dict[Names, _Rows]] = {"joints": {}, "fingers": {}}
        #: By the names of joints: s after the message, then angles.
        self._targets: dict[Names, _Rows] = {}

    def take(self, role: str, each: Recorded) -> None:
        """Raises `DeployError` where the message is not what the role needs."""
        message, time = each.message, each.time_s
        if role == "targets":
            for since, wanted in messages.targets(message):
                rows = self._targets.setdefault(wanted.names, _Rows(1 + len(wanted.angles)))
                rows.add(time, None, (since, *wanted.angles))
        elif role in self._states:
            found = messages.joint_state(message)
            size = len(found.names)
            rows = self._states[role].setdefault(found.names, _Rows(2 * size))
            velocities = found.velocities or (_UNSAID,) * size
            rows.add(time, messages.stamp(message), (*found.angles, *velocities))
        else:
            self.frames[role].add(messages.frame(message))
            if role == "object":
                self._poses.add(time, messages.stamp(message), messages.pose(message))
            else:
                self._goals.add(time, messages.stamp(message), messages.position(message))

    def names(self, role: str) -> Names:
        """Every joint that is named in the messages of a role."""
        groups = self._targets if role == "targets" else self._states[role]
        return tuple(dict.fromkeys(name for names in groups for name in names))

    def poses(self) -> Series:
        """Of the object, values [N, 7]."""
        return self._poses.series()

    def goals(self) -> Series:
        """values [N, 3]."""
        return self._goals.series()

    def joints(self, role: str, joints: Sequence[str]) -> Series:
        """The messages that have all of these joints: angles, then velocities, [N, 2 n]."""
        parts = [np.empty((0, 2 + 2 * len(joints)))]
        for names, rows in self._states[role].items():
            if set(joints) <= set(names):
                at = [names.index(joint) for joint in joints]
                columns = [0, 1, *(2 + i for i in at), *(2 + len(names) + i for i in at)]
                parts.append(rows.table()[:, columns])
        table = np.concatenate(parts)
        return Series.of(table[:, 0], table[:, 2:], table[:, 1])

    def commanded(self, joints: Sequence[str]) -> Series:
        """Angles [N, n] from when they were commanded; no joints: of messages without names.

        A trajectory's point is commanded from when the one before should be reached, if no other
        message came until then.
        """
        parts = [np.empty((0, 3 + len(joints)))]
        for names, rows in self._targets.items():
            if bool(joints) == bool(names) and set(joints) <= set(names):
                table = rows.table()
                at = [names.index(joint) for joint in joints] or range(table.shape[1] - 3)
                parts.append(table[:, [0, 1, 2, *(3 + i for i in at)]])
        table = np.concatenate(parts if joints or len(parts) < 2 else parts[1:])
        sent, since = table[:, 0], table[:, 2]
        every = np.append(np.unique(sent), np.inf)
        following = every[np.searchsorted(every, sent, side="right")]
        kept = (since == 0.0) | (sent + since < following)
        return Series.of((sent + since)[kept], table[kept, 3:], table[kept, 1])


def gather(path: Path, chosen: Mapping[str, Topic]) -> Gathered:
    """The messages of the chosen topics, by role; raises `DeployError` where one cannot be read."""
    roles: dict[str, list[str]] = {}
    for role, topic in chosen.items():
        roles.setdefault(topic.name, []).append(role)
    found = Gathered()
    for count, each in enumerate(mcap_file.messages(path, roles.keys())):
        if count >= _MOST:
            raise DeployError(
                f"{path} has more than {_MOST:,} messages of {', '.join(roles)}; cut it, as with "
                "`mcap filter`"
            )
        for role in roles[each.topic]:
            try:
                found.take(role, each)
            except DeployError as error:
                raise DeployError(
                    f"{path}: a message of {each.topic} cannot be read as {role}: {error}"
                ) from error
    return found
