"""Runs a policy over fresh episodes, and reports the numbers with their intervals."""
