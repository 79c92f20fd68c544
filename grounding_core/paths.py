"""Where things that can be made again are kept on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """``$GROUNDING_CACHE``, or ``grounding_core`` in ``$XDG_CACHE_HOME`` or ``~/.cache``. Not created here.

    The same order as the hub's: its own variable, then the system's, then the home folder.
    """
    configured = os.environ.get("GROUNDING_CACHE")
    if configured:
        return Path(configured).expanduser()
    system = os.environ.get("XDG_CACHE_HOME")
    return (Path(system).expanduser() if system else Path.home() / ".cache") / "grounding_core"
