"""Imperfect sensing and actuation, as plugins of r2s."""
