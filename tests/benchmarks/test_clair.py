"""CLAIR against a real HTTP server: retries, refusals, usage, and what is kept."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from model_server import Handler, Server, fails, says

from benchmarks.metrics.clair import Clair
from benchmarks.metrics.endpoint import ATTEMPTS, Endpoint, Usage
from benchmarks.tasks.gcg import GroundedCaptions
from grounding_core.errors import GroundingError

RATED = '{"score": 80, "reason": "alike"}'


def hangs(handler: Handler) -> None:
    time.sleep(1.0)


def drops(handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.close()


class Clock:
    """Stands in for sleeping."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.pauses.append(seconds)


def clair_of(server: Server, folder: Path, **options: object) -> Clair:
    workers = options.pop("workers", 1)
    options.setdefault("sleep", Clock())
    return Clair(Endpoint(server.url, "judge", "secret", **options), folder, workers)


def test_a_reply_without_a_number_is_asked_for_again(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(says("no idea"), says(RATED))
    clair = clair_of(server, tmp_path)
    assert clair.scores([("a cat", "the cat")]) == [0.8]
    assert clair.usage == Usage(2, 200, 20)
    first = server.asked[0]
    assert (first["path"], first["key"], first["model"]) == ("/v1/chat/completions", "Bearer secret", "judge")
    assert (first["max_tokens"], first["temperature"]) == (100, 0.5)
    assert "- a cat\n" in first["messages"][1]["content"]


def test_a_score_that_is_no_number_is_asked_for_again(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(says('{"score": null}'), says('{"score": NaN}'), says(RATED))
    assert clair_of(server, tmp_path).scores([("a", "b")]) == [0.8]
    assert len(server.asked) == 3


def test_ratings_are_kept_on_disk_and_a_torn_line_is_rated_again(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve(says(RATED))
    pairs = [("a", "b"), ("c", "d"), ("a", "b")]
    assert clair_of(server, tmp_path).scores(pairs) == [0.8] * 3
    assert len(server.asked) == 2, "the same pair is rated once"
    again = clair_of(server, tmp_path)
    assert again.scores(pairs) == [0.8] * 3
    assert len(server.asked) == 2
    assert again.usage == Usage(2, 200, 20), "what it cost then"
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text()[:-20])
    for _ in range(2):  # the second time from the disk
        assert clair_of(server, tmp_path).scores(pairs) == [0.8] * 3
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    "trouble",
    [fails(429), fails(500), fails(503), drops, fails(200, b"{not json"), fails(200, b'{"choices": []}')],
    ids=["429", "500", "503", "dropped", "bad JSON", "empty"],
)
def test_trouble_passes(
    trouble: Callable[[Handler], None], serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve(trouble, trouble, says(RATED))
    clock = Clock()
    assert clair_of(server, tmp_path, sleep=clock).scores([("a", "b")]) == [0.8]
    assert len(server.asked) == 3
    assert 0.5 <= clock.pauses[0] <= 1.0 and 1.0 <= clock.pauses[1] <= 2.0


def test_a_time_out_is_asked_again(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(hangs, says(RATED))
    assert clair_of(server, tmp_path, timeout=0.2).scores([("a", "b")]) == [0.8]


def test_the_pause_that_an_endpoint_asks_for_is_kept(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(fails(429, Retry_After="7"), says(RATED))
    clock = Clock()
    clair_of(server, tmp_path, sleep=clock).scores([("a", "b")])
    assert clock.pauses == [7.0]


def test_endless_trouble_is_named(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(fails(500))
    with pytest.raises(GroundingError, match=f"failed {ATTEMPTS} times, at last with: HTTP 500"):
        clair_of(server, tmp_path).scores([("a", "b")])
    assert len(server.asked) == ATTEMPTS


def test_a_refusal_is_not_repeated(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(fails(401, b"wrong   key"))
    with pytest.raises(GroundingError, match="HTTP 401: wrong key"):
        clair_of(server, tmp_path).scores([("a", "b")])
    assert len(server.asked) == 1


def test_an_endpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    clair = Clair(Endpoint("http://127.0.0.1:9/v1", "judge", sleep=Clock()), tmp_path)
    with pytest.raises(GroundingError, match=r"127\.0\.0\.1:9"):
        clair.scores([("a", "b")])
    with pytest.raises(GroundingError, match="is no URL"):
        Clair(Endpoint("nowhere", "judge"), tmp_path).scores([("a", "b")])


def test_several_questions_are_open_at_a_time(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(says(RATED, wait=0.1))
    clair_of(server, tmp_path, workers=4).scores([(str(i), "b") for i in range(12)])
    assert 2 <= server.most_open <= 4


def test_what_was_rated_before_trouble_is_kept(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(says(RATED), says(RATED), fails(403))
    pairs = [(str(i), "b") for i in range(4)]
    with pytest.raises(GroundingError, match="403"):
        clair_of(server, tmp_path).scores(pairs)
    server.acts = (says(RATED),)
    before = len(server.asked)
    assert clair_of(server, tmp_path).scores(pairs) == [0.8] * 4
    assert len(server.asked) == before + 2


def test_the_task_reports_model_usage_and_cost(
    serve: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(says(RATED))
    for name, value in {
        "OPENAI_BASE_URL": server.url,
        "CLAIR_MODEL": "judge",
        "OPENAI_API_KEY": "k",
        "CLAIR_PRICE": "2,10",
    }.items():
        monkeypatch.setenv(name, value)
    task = GroundedCaptions(tmp_path)
    monkeypatch.setattr(task, "_words", lambda texts, found: None)
    found = task.judge_texts({"model": [("a", "b"), ("c", "d")], "whole frame": [("x", "b"), ("y", "d")]})
    np.testing.assert_array_equal(found["model"]["clair"], [[0.8, 1.0], [0.8, 1.0]])
    assert "clair" not in found["whole frame"]
    assert task.protocol["CLAIR"] == "judge, 100 tokens at temperature 0.5"
    assert task.protocol["CLAIR calls"] == "2 calls, 200 + 20 tokens, cost 0.0006"
    monkeypatch.setenv("CLAIR_PRICE", "cheap")
    task.judge_texts({"model": [("a", "b")]})
    assert any("CLAIR_PRICE is 'cheap'" in note for note in task.notes)


def test_without_an_endpoint_there_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLAIR_MODEL", raising=False)
    task = GroundedCaptions(tmp_path)
    monkeypatch.setattr(task, "_words", lambda texts, found: None)
    assert "clair" not in task.judge_texts({"model": [("a", "b")]})["model"]
    assert task.notes == ["CLAIR was not computed: OPENAI_BASE_URL and CLAIR_MODEL name no endpoint."]
