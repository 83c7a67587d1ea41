"""A task for r2s."""
