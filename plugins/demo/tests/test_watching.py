"""Answers that are watched while they are written."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from grounding_demo.watching import Job

from grounding_core import GroundedText
from grounding_core.markup import Marked


def test_texts_come_in_order_and_the_last_one_is_not_lost() -> None:
    def ask(told: Callable[[Marked], None]) -> GroundedText:
        for length in range(1, 5):
            told(Marked("abcd"[:length]))
            time.sleep(0.06)
        return GroundedText("abcd")

    job = Job(ask)
    heard = [marked.text for marked in job.heard()]
    assert heard == sorted(heard, key=len) and heard and set(heard) <= {"a", "ab", "abc", "abcd"}
    assert job.result().text == "abcd"


def test_a_model_that_tells_nothing_still_answers() -> None:
    job = Job(lambda told: GroundedText("done"))
    assert list(job.heard()) == [] and job.result().text == "done"


def test_what_went_wrong_comes_out_where_the_answer_is_awaited() -> None:
    def ask(told: Callable[[Marked], None]) -> GroundedText:
        told(Marked("I"))
        raise ValueError("broken")

    job = Job(ask)
    list(job.heard())
    with pytest.raises(ValueError, match="broken"):
        job.result()
