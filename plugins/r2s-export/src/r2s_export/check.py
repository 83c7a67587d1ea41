"""Whether a bundle is whole, and gives here what it gave where it was written."""

from __future__ import annotations

from pathlib import Path

from r2s_core.errors import R2SError
from r2s_deploy.check import check
from r2s_deploy.errors import DeployError


def check_bundle(path: Path) -> None:
    """Print what `r2s_deploy.check.check` finds; raises `R2SError` where something is wrong."""
    try:
        for line in check(path):
            print(line)
    except DeployError as error:
        raise R2SError(str(error)) from error
