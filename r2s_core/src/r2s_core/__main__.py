"""`python -m r2s_core` is `r2s`."""

import os
import sys

try:
    # `-m` puts the working directory first on the import path, which `r2s` does not: files beside
    # a scan are not modules, nor packages that offer plugins.
    if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
        del sys.path[0]
except OSError:  # the working directory is gone, so there is nothing in it
    pass

from r2s_core.cli import program

program()
