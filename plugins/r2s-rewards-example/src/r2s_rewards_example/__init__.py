"""A speed limit, as a reward plugin of r2s."""
