"""`r2s object VERB ...`: checks and repairs scans. Light: a verb is imported when it is used."""

from __future__ import annotations

import argparse
import importlib

from r2s_core.plugin import Plugin

#: Verb -> one line about it. Its module here has `configure(parser)` and, imported only to run it,
#: names in `TARGET` the "module:function" that takes the parsed arguments and returns the exit
#: status.
VERBS = {
    "check": "report what is wrong with a scan; changes nothing",
    "fix": "repair a scan and certify the resulting object",
    "library": "fix all scans of a folder, in parallel",
    "reconstruct": "point clouds or depth images to a closed mesh",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """The verbs and their arguments."""
    parser.epilog = "\n`r2s object VERB --help` describes each."
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, summary in VERBS.items():
        sub = verbs.add_parser(
            verb,
            help=summary,
            description=summary,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        importlib.import_module(f"{__name__}.{verb}").configure(sub)


def main(args: argparse.Namespace) -> int:
    """Run the verb; returns the exit status."""
    from r2s_core.errors import AssetError
    from r2s_core.system.signals import tidy_end
    from r2s_envs_objects.options import on_command_line

    module, _, name = importlib.import_module(f"{__name__}.{args.verb}").TARGET.partition(":")
    try:
        with tidy_end():
            return int(getattr(importlib.import_module(module), name)(args) or 0)
    except AssetError as error:
        raise AssetError(on_command_line(str(error))) from error


OBJECT = Plugin(
    name="object",
    kind="command",
    summary="check, fix and certify scanned objects; reconstruct them from point clouds",
    target="r2s_envs_objects.cli:main",
    configure=configure,
)
