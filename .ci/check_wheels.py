"""Check that wheels hold the files that are no Python code, and are not too large."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

NEEDED = {
    "grounding_core": (
        "grounding_core/py.typed",
        "templates/plugin.py.txt",
        "player/player.js",
        "player/player.css",
        "model_card.md.txt",
        "report/browser.js",
        "benchmarks/run.py",
        "licenses/LICENSE",
    ),
    "grounding_videoglamm": (
        "recipes/videoglamm.yaml",
        "recipes/videoglamm-tiny.yaml",
        "model.safetensors",
        "tokenizer.json",
    ),
    "grounding_adapters": ("grounding_adapters/plugin.py",),
    "grounding_demo": ("grounding_demo/plugin.py", "static/stage.js", "static/stage.css", "static/page.css"),
    "grounding_hf": ("grounding_hf/plugin.py",),
    "grounding_open_clip": ("grounding_open_clip/plugin.py",),
    "grounding_sa2va": ("grounding_sa2va/plugin.py",),
    "grounding_sam": ("grounding_sam/plugin.py",),
    "grounding_segment_anything": ("grounding_segment_anything/plugin.py",),
    "grounding_timm": ("grounding_timm/plugin.py",),
    "grounding_sprites": ("grounding_sprites/plugin.py",),
}
LARGEST = 25 * 2**20

problems = []
for wheel in map(Path, sys.argv[1:]):
    names = zipfile.ZipFile(wheel).namelist()
    distribution = wheel.name.partition("-")[0]
    problems += [
        f"{wheel.name} lacks {end}"
        for end in NEEDED.get(distribution, ())
        if not any(name.endswith(end) for name in names)
    ]
    if wheel.stat().st_size > LARGEST:
        problems.append(f"{wheel.name} has {wheel.stat().st_size} bytes, more than {LARGEST}")
    print(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size / 2**20:.1f} MiB")
if problems:
    sys.exit("\n".join(problems))
