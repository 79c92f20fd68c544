"""Adapters between vision and language, both ways, for grounding_core."""
