"""The documentation as a site: built strictly, and complete without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("material", reason="needs mkdocs-material")
pytest.importorskip("mkdocstrings", reason="needs mkdocstrings")


@pytest.mark.slow
def test_site_builds_and_loads_nothing_from_elsewhere(repository: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=repository,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe|source|video)[^>]*\ssrc="([^"]+)"', text)
        loaded += re.findall(r'<link[^>]*rel="(?:stylesheet|icon|preload)"[^>]*href="([^"]+)"', text)
        loaded += re.findall(r'<link[^>]*href="([^"]+)"[^>]*rel="(?:stylesheet|icon|preload)"', text)
        assert not [address for address in loaded if address.startswith(("http:", "https:", "//"))], page.name
        assert not re.search(
            r"<!-- (help|options|all-options|measures|plugins|include|notebook|player)", text
        )
    assert "Grounding.mount" in (tmp_path / "index.html").read_text(encoding="utf-8")
