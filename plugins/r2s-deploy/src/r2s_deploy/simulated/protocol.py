"""Messages between the simulated robot and its client: a JSON line each way.

Requests: {"do": "describe" | "reset" | "read" | "cycle" | "object" | "image" |
"stop", ...}. An answer has
either what was asked for or "error", a sentence.
"""

from __future__ import annotations

import json
import socket
import time
from typing import Any

from r2s_deploy.robot import RobotError

_LIMIT = 2**23  # bytes of a line
_PART = 2**16


class Line:
    """One end of the connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection, self._came = connection, bytearray()
        self._missed = False  # an answer, which would be taken for the next one

    def send(self, message: dict[str, Any]) -> None:
        """Send one message; raises `OSError` where the other end is gone."""
        self._connection.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> dict[str, Any] | None:
        """The next message; None: the other end closed. Raises `RobotError` for what is none.

        Raises `TimeoutError` where it is not whole after the connection's timeout, of which some
        connections have none, and `OSError` for every message after that.
        """
        if self._missed:
            raise OSError("an earlier answer did not come in time")
        try:
            line = self._line()
        except TimeoutError:
            self._missed = True
            raise
        if line is None:
            return None
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RobotError(f"the robot sent what is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise RobotError("the robot sent what is not a JSON mapping")
        return found

    def _line(self) -> bytes | None:
        began, timeout, looked = time.monotonic(), self._connection.gettimeout(), 0
        while (end := self._came.find(b"\n", looked)) < 0:
            looked = len(self._came)
            if looked > _LIMIT:
                raise RobotError(f"the robot sent a line of more than {_LIMIT:,} bytes")
            # A socket's own timeout begins anew with every byte.
            if timeout is not None and time.monotonic() - began > timeout:
                raise TimeoutError
            if not (part := self._connection.recv(_PART)):
                return None
            self._came += part
        line = bytes(self._came[:end])
        del self._came[: end + 1]
        return line

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
