"""Physics backends: `mujoco` (C MuJoCo on CPU threads), `mjx` and `warp` (MuJoCo MJX)."""
