"""Untrusted files are read in processes with limits on memory and time."""
