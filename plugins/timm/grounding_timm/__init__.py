"""Backbones of timm as image encoders."""
