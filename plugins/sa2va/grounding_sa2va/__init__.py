"""Sa2VA (arXiv 2501.04001) from its published folders."""
