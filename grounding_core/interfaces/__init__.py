"""The roles of a grounding model, data sets, and whole models: one file each."""
