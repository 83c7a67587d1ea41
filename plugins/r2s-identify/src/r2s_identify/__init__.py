"""`r2s identify`: what a robot is, from a log of its motion."""
