"""Writes a new plugin: a distribution whose component works, with its conformance test."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template

from grounding_core.errors import PluginError
from grounding_core.hookspecs import INTERFACE

ROLES = {
    "image_encoder": "ImageEncoder",
    "video_encoder": "VideoEncoder",
    "vision_adapter": "VisionAdapter",
    "language_model": "LanguageModel",
    "prompt_adapter": "PromptAdapter",
    "mask_decoder": "MaskDecoder",
}
"""Role -> its interface, from which its conformance class has its name."""

SWAPS = {"vision_adapter": "image_adapter"}
"""Roles whose part of a recipe has another name (there are two vision adapters)."""


def write_plugin(name: str, role: str, folder: Path | None = None) -> Path:
    """Write a distribution ``grounding-NAME`` with one component.

    Args:
        name: what recipes call the component: lower-case letters, digits, ``_``, beginning with a letter.
        role: a key of `ROLES`.
        folder: where; None is ``./grounding-NAME``. It must not exist.

    Returns:
        The folder.

    Raises:
        PluginError: the name or role is none, or the folder exists.
    """
    if role not in ROLES:
        raise PluginError(f"There is no role {role!r}.", f"Use one of {', '.join(ROLES)}.")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise PluginError(
            f"{name!r} can't name a plugin.", "Use lower-case letters, digits and _, e.g. my_part."
        )
    distribution = f"grounding-{name.replace('_', '-')}"
    folder = Path(distribution) if folder is None else folder
    package = f"grounding_{name}"
    words = {
        "name": name,
        "role": role,
        "words": role.replace("_", " "),
        "interface": str(INTERFACE),
        "base": ROLES[role],
        "class_name": "".join(part.capitalize() for part in name.split("_")),
        "distribution": distribution,
        "package": package,
        "part": SWAPS.get(role, role),
    }
    contents = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{package}/__init__.py": "package.py",
        f"{package}/plugin.py": "plugin.py",
        f"{package}/component.py": f"{role}.py",
        f"tests/test_{name}.py": f"test_{role}.py" if role == "language_model" else "test.py",
    }
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise PluginError(f"{folder} exists already.", "Name another folder with --out.") from None
    for path, template in contents.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(_filled(template, words), encoding="utf-8")
    return folder


def _filled(template: str, words: dict[str, str]) -> str:
    text = (files(__name__) / "templates" / f"{template}.txt").read_text(encoding="utf-8")
    return Template(text).substitute(words)
