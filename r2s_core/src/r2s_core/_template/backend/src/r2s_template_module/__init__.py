"""A physics backend for r2s."""
