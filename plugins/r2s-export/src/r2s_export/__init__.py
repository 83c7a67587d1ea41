"""`r2s export`: from a run to a bundle that a robot can run."""
