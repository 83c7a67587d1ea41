"""`python -m r2s_core` is `r2s`."""

from r2s_core.cli import program

program()
