"""Compares this package with numbers the reference computed; see ``__main__``."""
