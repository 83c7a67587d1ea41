"""An object is tried, and a page says how it went."""
