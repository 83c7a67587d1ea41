"""What reinforcement learning takes from recorded demonstrations, as options of an algorithm."""
