"""Triangles: repaired, measured, and taken apart into convex pieces."""
