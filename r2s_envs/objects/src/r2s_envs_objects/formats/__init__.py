"""Readers of mesh and point files that nobody vouches for: every claim is checked before use.

Each raises AssetError, with one sentence, on a file that contradicts itself; none runs anything
that a file contains, and none allocates more than a few times the file's size.
"""
