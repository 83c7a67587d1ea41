"""A hook for r2s."""
