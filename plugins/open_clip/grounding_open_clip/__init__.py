"""Image towers of open_clip as image encoders."""
