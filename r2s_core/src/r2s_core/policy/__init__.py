"""Trained policies as files, each with its contract."""
