"""Finds what is wrong in a data set's truth: any set that a registered reader reads."""
