"""Randomized pictures, as plugins of r2s."""
