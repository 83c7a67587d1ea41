"""The system layer: files, text, terminals, processes and calls into third-party code."""
