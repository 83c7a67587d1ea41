"""Frames, videos and pictures, rendered in separate processes."""
