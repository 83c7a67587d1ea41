"""Plays a policy over fresh episodes, and says how sure the numbers are."""
