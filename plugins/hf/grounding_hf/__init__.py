"""Encoders and language models of transformers as components."""
