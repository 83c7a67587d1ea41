"""Triangle meshes: repaired, measured, and decomposed into convex pieces."""
