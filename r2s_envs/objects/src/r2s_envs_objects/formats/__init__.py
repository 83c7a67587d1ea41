"""Readers of untrusted mesh and point files: every claim in a file is checked before use.

Each raises AssetError, with one sentence, on a file that contradicts itself; none executes
anything in a file, and none allocates more than a few times the file's size.
"""
