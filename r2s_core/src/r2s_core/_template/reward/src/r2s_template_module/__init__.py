"""A reward term for r2s."""
