"""A run: train, evaluate, report, stop and resume."""
