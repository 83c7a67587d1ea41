"""Randomized objects, as plugins of r2s."""
