"""Answers in the formats of evaluation servers: ``python -m benchmarks.submission export | import``."""
