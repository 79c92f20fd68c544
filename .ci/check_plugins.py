"""Check that `grounding plugins --json` (on stdin) shows exactly the given distributions, unharmed."""

from __future__ import annotations

import json
import sys

report = json.load(sys.stdin)
found = sorted({plugin["distribution"] for plugin in report["plugins"]})
if found != sorted(sys.argv[1:]) or report["failures"] or report["collisions"]:
    sys.exit(f"expected {sorted(sys.argv[1:])}, got {found}: {report['failures']} {report['collisions']}")
print("plugins:", ", ".join(found))
