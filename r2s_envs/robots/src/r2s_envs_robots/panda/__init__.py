"""The Franka Panda."""
