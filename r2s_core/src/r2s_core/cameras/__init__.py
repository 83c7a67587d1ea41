"""Cameras and what draws their images."""
