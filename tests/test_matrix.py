"""Any image encoder, language model and mask decoder make a model that learns and answers.

The page ``docs/matrix.md`` holds what came out: ``pytest --slow tests/test_matrix.py`` runs all of it and
compares; with ``GROUNDING_WRITE_MATRIX=1`` it writes the page.
"""

from __future__ import annotations

import os
import re
from itertools import combinations
from pathlib import Path

import matrix
import pytest

from grounding_core.plugins import registry

PAGE = Path(__file__).resolve().parent.parent / "docs" / "matrix.md"
GENERATED = re.compile(r"(<!-- (matrix|parts) -->\n\n)(?:(?!<!--).)*(?=\n\n<!-- end -->)", re.DOTALL)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return matrix.save_weights(tmp_path_factory.mktemp("weights"))


def problem(choice: matrix.Choice, weights: dict[str, Path]) -> str:
    """Why a combination does not learn and answer; empty if it does."""
    reached, answer = matrix.learn_and_answer(choice, weights)
    still = [role for role, gradient in reached.items() if not gradient > 0]
    if still:
        return f"no gradient in {', '.join(still)}"
    if not answer.tracks or any(len(track) != 3 for track in answer.tracks):
        return f"no track in {answer}"
    return ""


def written(passed: list[matrix.Choice]) -> str:
    """The page with these results."""
    parts = {"matrix": matrix.table(passed), "parts": matrix.legend()}
    page, places = GENERATED.subn(lambda found: found[1] + parts[found[2]], PAGE.read_text(encoding="utf-8"))
    assert places == len(parts), f"{PAGE} has lost a place for a table"
    return page


@pytest.mark.parametrize("choice", matrix.pairwise(), ids=" + ".join)
def test_every_pair_of_parts_learns_and_answers(choice: matrix.Choice, weights: dict[str, Path]) -> None:
    assert problem(choice, weights) == ""


@pytest.mark.slow
def test_the_whole_matrix(weights: dict[str, Path]) -> None:
    found = {choice: problem(choice, weights) for choice in matrix.everything()}
    page = written([choice for choice, why in found.items() if not why])
    if os.environ.get("GROUNDING_WRITE_MATRIX"):
        PAGE.write_text(page, encoding="utf-8")
    failed = {choice: why for choice, why in found.items() if why}
    assert not failed
    assert PAGE.read_text(encoding="utf-8") == page, "run it with GROUNDING_WRITE_MATRIX=1"


def test_the_page_is_that_of_a_matrix_without_gaps() -> None:
    assert PAGE.read_text(encoding="utf-8") == written(matrix.everything())


def test_pairs_are_all_there() -> None:
    for one, other in combinations(range(3), 2):
        assert {(c[one], c[other]) for c in matrix.pairwise()} == {
            (c[one], c[other]) for c in matrix.everything()
        }


@pytest.mark.parametrize("role", matrix.ROLES)
def test_no_component_is_left_out(role: str) -> None:
    offered = {entry.name for entry, *_ in registry().entries(role)}
    assert offered == {kind for kind, _ in matrix.ROLES[role].values()}
