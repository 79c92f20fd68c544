"""Readers of public data sets in their official layouts."""
