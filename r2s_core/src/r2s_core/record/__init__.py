"""The files in a run's folder: writing and reading them."""
