"""A robot for r2s."""
