"""Randomized visuals, as plugins of r2s."""
