"""Metrics on arrays and texts; NumPy and SciPy only."""
