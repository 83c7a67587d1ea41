"""From a file's bytes to vertices, faces and metres."""
