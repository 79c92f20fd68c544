"""The quick-start notebook runs in a real kernel, and what it shows is what it promises."""

from __future__ import annotations

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs nbclient")
nbclient = pytest.importorskip("nbclient", reason="needs nbclient")


@pytest.mark.slow
def test_quickstart_runs_and_answers_display_themselves(repository: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(repository / "docs" / "quickstart.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "the repository keeps it without outputs"
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    played = [output for output in shown if "Grounding.mount" in output.get("data", {}).get("text/html", "")]
    assert len(played) == 2
    assert any("image/png" in output.get("data", {}) for output in shown)
    assert (tmp_path / "answer" / "overlay.mp4").is_file()
