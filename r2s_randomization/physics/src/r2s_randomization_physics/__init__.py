"""Randomized physics, as plugins of r2s."""
