"""Answers that play in a browser: for notebooks, reports and the documentation, without any other file."""
