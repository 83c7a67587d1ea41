"""`r2s compare`: several runs, one report. Imports no JAX: runs are separate processes."""

from r2s_core.compare.compare import compare

__all__ = ["compare"]
