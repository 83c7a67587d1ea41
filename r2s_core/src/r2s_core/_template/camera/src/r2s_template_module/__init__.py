"""A camera for r2s."""
