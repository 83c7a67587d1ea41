"""Messages between the simulated robot and its client: a JSON line each way.

Requests: {"do": "describe" | "reset" | "read" | "cycle" | "object" | "image" |
"stop", ...}. An answer has
either what was asked for or "error", a sentence.
"""

from __future__ import annotations

import json
import socket
from typing import Any

from r2s_deploy.robot import RobotError

_LIMIT = 2**23  # bytes of a line


class Line:
    """One end of the connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._file = connection.makefile("rb")

    def send(self, message: dict[str, Any]) -> None:
        """Send one message; raises `OSError` where the other end is gone."""
        self._connection.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> dict[str, Any] | None:
        """The next message; None: the other end closed. Raises `RobotError` for what is none."""
        line = self._file.readline(_LIMIT)
        if not line:
            return None
        try:
            found = json.loads(line)
        except ValueError as error:
            raise RobotError(f"the robot sent what is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise RobotError("the robot sent what is not a JSON mapping")
        return found

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._connection.close()
