"""A run: train, evaluate, report, stop and go on."""
