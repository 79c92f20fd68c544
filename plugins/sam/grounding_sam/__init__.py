"""The SAM 2 family and what builds on it."""
