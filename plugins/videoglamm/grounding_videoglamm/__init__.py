"""VideoGLaMM (arXiv 2411.04923) as components of grounding_core."""
