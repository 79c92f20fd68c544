"""A page in the browser and an HTTP API for models of grounding_core."""
