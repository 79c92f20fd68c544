"""Grounded captions made from masks, boxes, class names and sentences: ``grounding annotate``."""
