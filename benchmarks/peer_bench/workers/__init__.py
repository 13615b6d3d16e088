"""One module a runtime; each runs as a process of its own, with NumPy and that runtime only."""
