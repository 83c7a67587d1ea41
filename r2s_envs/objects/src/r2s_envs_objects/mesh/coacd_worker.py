"""Runs CoACD on IN.npz and writes the parts' vertices to OUT.npz; started by `decompose`."""

from __future__ import annotations

import sys
from typing import Any

import coacd
import numpy as np

from r2s_envs_objects.guard.limits import end_with_parent, limit

MEMORY = 512 * 2**20  # bytes of address space; 4,000 faces take 130 MB
PROCESSOR = 25  # s; the slowest of 14 real scans takes 9


def main(source: str, result: str) -> None:
    """Decompose with the best settings measured (benchmarks/objects.md); the seed is fixed."""
    end_with_parent()
    limit(MEMORY, PROCESSOR)
    with np.load(source, allow_pickle=False) as file:
        vertices, faces = file["vertices"], file["faces"]
        max_pieces, concavity = file["options"]
    coacd.set_log_level("error")
    parts = coacd.run_coacd(
        coacd.Mesh(vertices, faces),
        threshold=float(concavity),
        max_convex_hull=int(max_pieces),
        preprocess_mode="off",  # the input is closed, and the preprocessing inflates
        resolution=1000,
        mcts_nodes=10,
        mcts_iterations=60,
        mcts_max_depth=2,
        real_metric=True,
        seed=0,
    )
    arrays: dict[str, Any] = {f"{i:03d}": np.asarray(v) for i, (v, _) in enumerate(parts)}
    np.savez(result, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
