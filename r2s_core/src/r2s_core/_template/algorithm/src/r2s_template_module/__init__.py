"""A learning algorithm for r2s."""
