"""``python -m grounding_core.cli``: the same as ``grounding``."""

from grounding_core.cli import main

main()
