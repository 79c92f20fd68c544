"""Short generated videos of named sprites, with exact masks, boxes and text in the official layouts."""
