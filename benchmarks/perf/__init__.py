"""How fast everything is and how much memory it takes, measured on this machine; one program a question."""
