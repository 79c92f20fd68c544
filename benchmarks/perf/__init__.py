"""How fast scoring is and how much memory it takes, measured on this machine."""
