"""A randomizer for r2s."""
