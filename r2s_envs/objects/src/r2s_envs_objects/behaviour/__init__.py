"""What an object does: rest, cost physics, be gripped, stand upright."""
