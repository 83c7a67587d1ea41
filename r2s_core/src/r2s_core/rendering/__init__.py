"""Frames, videos and pictures, drawn in processes of their own."""
