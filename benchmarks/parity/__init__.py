"""``python -m benchmarks.parity GOLDEN_DIR``: are our metrics those of the official evaluators?

A golden folder holds prepared cases with the numbers the official programs printed for them; its README
describes the fields. Nothing here is needed to score a model.
"""
