"""`r2s demo VERB ...`. Light: what a verb needs is imported when it is used."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from r2s_core.cli import Parser
from r2s_core.cli.run import TRUST
from r2s_core.config import RunConfig, load_config
from r2s_core.config.schema import SCRIPT
from r2s_core.config.user_code import require
from r2s_core.errors import ConfigError
from r2s_core.system.streams import lasting_streams

_EXAMPLES = """examples:
  r2s demo record quickstart --episodes 200 -o demos           the task's scripted expert
  r2s demo record quickstart --episodes 200 -o demos --noise-std 0.2 --keep-failures seed=3
  r2s demo record quickstart --expert runs/quickstart --episodes 200 -o demos
  r2s demo info demos
  r2s demo replay demos
  r2s run quickstart demonstrations.source=demos/              learn from them

`r2s demo VERB --help` describes each."""
_RECORD = """Records episodes of an expert as a LeRobot data set (LeRobotDataset v3), which
LeRobot reads too. DIR must not exist, or be empty. Every episode starts as in an evaluation, at
the end of any curriculum, and only objects that are trained on are used. Ctrl-C ends the
recording: DIR is then a data set of the whole episodes so far. Cameras' images become videos, and
depths and segmentations arrays in the parquet files."""
_REPLAY = """Builds the recording's environment again, starts its episodes where they started,
executes the recorded actions and compares what is observed at every step with what was recorded.
On the same machine with the same versions both are equal, pixels included unless their videos are
lossy. Writes replay.mp4 where the machine can render."""


_T = TypeVar("_T", int, float)


class _VerbParser(Parser):
    """Takes key=value between and after options too, which argparse has no setting for."""

    _is_mixing = False

    def parse_known_args(self, *arguments: Any, **options: Any) -> Any:
        """Called for a verb's arguments, and again by argparse's own function for mixed ones."""
        if self._is_mixing:
            return super().parse_known_args(*arguments, **options)
        self._is_mixing = True
        try:
            return self.parse_known_intermixed_args(*arguments, **options)
        finally:
            self._is_mixing = False


def configure(parser: argparse.ArgumentParser) -> None:
    """The verbs and their arguments."""
    parser.epilog = _EXAMPLES
    verbs = parser.add_subparsers(
        dest="verb", required=True, metavar="VERB", parser_class=_VerbParser
    )
    _configure_record(_verb(verbs, "record", "record an expert", _RECORD))
    info = _verb(verbs, "info", "describe a data set", "Describes a LeRobot data set, anyone's.")
    info.add_argument("folder", metavar="DIR", type=_path, help="a data set's folder")
    info.add_argument("--json", action="store_true", help="print the facts as JSON")
    replay = _verb(verbs, "replay", "play a recording's episodes again", _REPLAY)
    replay.add_argument("folder", metavar="DIR", type=_path, help="a folder made by `record`")
    replay.add_argument("--episodes", type=_count, metavar="N", help="the first N; default: all")
    replay.add_argument(
        "-o", "--output", type=_path, metavar="FILE", help="the video; default: DIR/replay.mp4"
    )


def _configure_record(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="a YAML file, or the name of a sample")
    parser.add_argument(
        "overrides", metavar="key=value", nargs="*", default=[], help="replaces a value of the file"
    )
    parser.add_argument(
        "--expert",
        type=_name,
        metavar="script|RUN",
        help="the task's scripted expert, or the folder of a trained run; default: that of the "
        "configuration, else the script",
    )
    parser.add_argument("--episodes", type=_count, metavar="N", required=True, help="how many")
    parser.add_argument(
        "-o", "--output", type=_path, metavar="DIR", required=True, help="new folder"
    )
    parser.add_argument(
        "--noise-std",
        type=_deviation,
        metavar="X",
        help="standard deviation of noise on what is executed, in [-1, 1] units (DART), so that "
        "corrections are recorded too; the actions to learn are recorded without it",
    )
    parser.add_argument(
        "--keep-failures", action="store_true", help="keep episodes that do not succeed too"
    )
    parser.add_argument(
        "--crf",
        type=_crf,
        metavar="N",
        default=0,
        help="of the cameras' videos: 0, the default, loses nothing; up to 51 they are smaller and "
        "lossy (libx264, yuv444p), and what they lose is measured and told",
    )
    parser.add_argument("--seed", type=_seed, metavar="N", help="of starts and noise; default: 0")
    parser.add_argument("--trust", action="store_true", help=TRUST)


def main(args: argparse.Namespace) -> int:
    """Run the verb; returns the exit status."""
    verbs: dict[str, Callable[[argparse.Namespace], None]] = {
        "record": _record,
        "info": _info,
        "replay": _replay,
    }
    with lasting_streams():
        verbs[args.verb](args)
    return 0


def _record(args: argparse.Namespace) -> None:
    overrides = [*args.overrides, *_overrides(args)]
    config = load_config(args.config, overrides, to_train=False)
    if config.demonstrations.source is None:
        overrides.append(("demonstrations.source", SCRIPT))
        config = load_config(args.config, overrides, to_train=False)
    _check_expert(config)
    require(config, args.trust)
    from r2s_lerobot.recording import record_data_set
    from r2s_lerobot.videos import Codec

    record_data_set(config, args.output, Codec(args.crf))


def _overrides(args: argparse.Namespace) -> list[tuple[str, Any]]:
    """What the options, and recording itself, change of the configuration."""
    found: list[tuple[str, Any]] = [
        ("demonstrations.episodes", args.episodes),
        ("environment.start_state_share", 0.0),
        ("curriculum", {}),
        ("hooks", {}),
    ]
    if args.expert is not None:
        expert = args.expert if args.expert == SCRIPT else str(Path(args.expert).absolute())
        found.append(("demonstrations.source", expert))
    if args.noise_std is not None:
        found.append(("demonstrations.noise_std", args.noise_std))
    if args.keep_failures:
        found.append(("demonstrations.successful_only", False))
    if args.seed is not None:
        found.append(("seed", args.seed))
    return found


def _check_expert(config: RunConfig) -> None:
    """Raises `ConfigError` where the source is nobody who acts."""
    source = config.demonstrations.source
    from r2s_core.policy import packed

    if isinstance(source, Path) and not packed.is_policy(source):
        raise ConfigError(
            f"{source}: not a run, which would have a policy/; name one, or record the task's "
            "script: --expert script"
        )


def _info(args: argparse.Namespace) -> None:
    from r2s_lerobot.description import describe

    describe(args.folder, as_json=args.json)


def _replay(args: argparse.Namespace) -> None:
    from r2s_lerobot.replay import replay

    replay(args.folder, args.episodes, args.output)


def _verb(verbs: Any, name: str, summary: str, description: str) -> argparse.ArgumentParser:
    return verbs.add_parser(
        name,
        help=summary,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _count(text: str) -> int:
    return _number(text, int, lambda value: value >= 1, "a whole number of at least 1")


def _deviation(text: str) -> float:
    return _number(text, float, lambda x: math.isfinite(x) and x >= 0, "a number of at least 0")


def _crf(text: str) -> int:
    return _number(text, int, lambda value: 0 <= value <= 51, "a whole number from 0 to 51")


def _seed(text: str) -> int:
    return _number(text, int, lambda value: True, "a whole number")


def _number(text: str, read: Callable[[str], _T], is_valid: Callable[[_T], bool], what: str) -> _T:
    try:
        value = read(text)
    except ValueError:
        value = None
    if value is None or not is_valid(value):
        raise argparse.ArgumentTypeError(f"expected {what}, got '{text}'")
    return value


def _name(text: str) -> str:
    """Not empty: as a path that would be the working directory."""
    if not text:
        raise argparse.ArgumentTypeError("expected a name, got ''")
    return text


def _path(text: str) -> Path:
    return Path(_name(text))
