"""The conformance kit: what every plugin, ours included, must pass."""
