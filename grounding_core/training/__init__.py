"""Training of composed models: configuration, losses, collation, and the loop on accelerate."""
