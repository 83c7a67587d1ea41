"""`r2s replay`."""

from __future__ import annotations

import argparse
from pathlib import Path

_EXAMPLES = """examples:
  r2s eval runs/quickstart --failures            writes runs/quickstart/failures-1/dropped.npz, ...
  r2s replay runs/quickstart/failures-1/dropped.npz
  r2s replay runs/quickstart/failures-1/dropped.npz --viewer   in MuJoCo's viewer, in real time"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.epilog = _EXAMPLES
    parser.add_argument("episode", metavar="FILE.npz", type=Path, help="the log of an episode")
    parser.add_argument(
        "--viewer", action="store_true", help="show it in MuJoCo's viewer, again and again"
    )
    parser.add_argument(
        "--trust", action="store_true", help="read a file that was written elsewhere"
    )


def main(args: argparse.Namespace) -> int:
    """Replay."""
    from r2s_core.evaluation.replay import described, read_episode, view

    episode = read_episode(args.episode, args.trust)
    for line in described(episode):
        print(line)
    if args.viewer:
        view(episode)
    return 0
