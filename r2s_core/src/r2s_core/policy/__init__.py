"""Trained policies as files, and the contract that each states."""
