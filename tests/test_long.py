"""Videos without an end, and videos in pieces: masks as frames arrive, objects that keep their identity."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from small import prefer_seg, small_model

from grounding_core import GroundedText, MaskTrack, Query, Span, Video
from grounding_core.chunked import Chunked, ChunkedConfig, pieces
from grounding_core.config import Sampling
from grounding_core.errors import GroundingError, RecipeError, VideoError
from grounding_core.interfaces.frame_selector import FrameSelector
from grounding_core.live import REMEMBERED, Arrival, LiveAnswers
from grounding_core.model import GroundingModel
from grounding_core.video.ahead import ahead, ahead_map


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> GroundingModel:
    made = small_model(tmp_path_factory.mktemp("model"), "mask_decoder.batch=4")
    prefer_seg(made)
    return made


def frames(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 40, 56, 3), dtype=np.uint8)


def test_a_stream_gives_a_step_for_each_frame_before_the_next_comes(model: GroundingModel) -> None:
    source = frames(7)
    handed: list[int] = []

    def camera() -> Iterator[np.ndarray]:
        for index, frame in enumerate(source):
            handed.append(index)
            yield frame

    steps = []
    for step in model.stream(camera(), "the cat", every=3, window=4):
        assert handed[-1] == step.index == len(steps)
        steps.append(step)
    assert [step.asked for step in steps] == [0, 0, 0, 3, 3, 3, 6]
    assert all(track.size == (40, 56) and len(track) == 1 for s in steps for track in s.answer.tracks)
    assert (
        steps[0].answer.tracks
        and steps[0].answer.text == model.ground(Video.open(source[:1]), "the cat").text
    )


@pytest.mark.parametrize("mode", ["framewise", "memory"])
def test_between_two_askings_masks_are_those_of_the_decoder(tmp_path: Path, mode: str) -> None:
    model = small_model(tmp_path, f"mask_decoder.mode={mode}")
    prefer_seg(model)
    source = frames(4)
    live = [s.answer.tracks for s in model.stream(source, "the cat", every=8)]
    _, prompts = model.point(Video.open(source[:1]), Query("the cat"))
    decoder = model.mask_decoder
    expected = [(logits > 0).numpy() for logits in decoder.track(decoder.open(Video.open(source)), prompts)]
    for tracks, masks in zip(live, expected, strict=True):
        for track, mask in zip(tracks, masks, strict=True):
            assert (track.mask(0) != mask).mean() < 0.01


def test_a_slow_model_drops_frames_rather_than_lag(model: GroundingModel) -> None:
    def camera() -> Iterator[np.ndarray]:
        for frame in frames(60):
            yield frame
            time.sleep(0.005)

    seen = []
    for step in model.stream(camera(), "the cat", every=100, drop=True):
        time.sleep(0.1)
        seen.append(step.index)
    assert seen == sorted(set(seen)) and 1 < len(seen) < 60
    assert seen[-1] == 59  # the newest is never lost


def test_a_stream_refuses_what_is_no_frame(model: GroundingModel) -> None:
    with pytest.raises(VideoError, match="uint8 RGB"):
        next(model.stream([np.zeros((4, 4))], "the cat"))
    with pytest.raises(VideoError, match="one size"):
        list(model.stream([np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4, 3), np.uint8)], "the cat"))


def test_frames_may_be_views_and_share_their_memory(model: GroundingModel) -> None:
    """As OpenCV gives them: BGR, turned by a view, all in one buffer."""
    source = frames(6)
    buffer = np.empty_like(source[0])

    def camera() -> Iterator[np.ndarray]:
        for frame in source:
            buffer[:] = frame[..., ::-1]
            yield buffer[..., ::-1]

    expected = list(model.stream(source, "the cat", every=3))
    found = list(model.stream(camera(), "the cat", every=3))
    assert [step.answer for step in found] == [step.answer for step in expected]
    assert all(np.array_equal(step.frame, frame) for step, frame in zip(found, source, strict=True))


class Visitors:
    """Says who is there at each asking, each at one place of their own."""

    def __init__(self, names: Sequence[str]) -> None:
        self.coming = iter(names)
        self.sampling = Sampling(frames=2)
        self.mask_decoder = self

    def point(self, video: Video, query: Query) -> tuple[GroundedText, torch.Tensor]:
        name = next(self.coming)
        self.row = int(name) % 32
        return GroundedText(name, (Span(0, len(name), (0,)),), (MaskTrack(0, video.size, ()),)), torch.zeros(
            1
        )

    def open(self, video: Video) -> Video:
        return video

    def track(self, video: Video, prompts: torch.Tensor) -> Iterator[torch.Tensor]:
        for _ in video.stream():
            logits = torch.full((1, 32, 8), -1.0)
            logits[0, self.row] = 1
            yield logits


def test_a_stream_remembers_who_was_there_but_not_for_ever() -> None:
    others = [str(number) for number in range(1, 2 * REMEMBERED)]
    names = ["0", *others[:REMEMBERED], "0", *others[REMEMBERED:], "1", "0"]
    live = LiveAnswers(Visitors(names), Query("who"), every=1, window=1)
    ids = [
        live.step(Arrival(index, 0.0, np.zeros((32, 8, 3), np.uint8))).answer.tracks[0].id
        for index in range(len(names))
    ]
    assert ids[REMEMBERED + 1] == ids[-1] == ids[0]
    new = [id for id, name in zip(ids, names, strict=True) if name != "0"]
    assert len(set(new)) == len(new)  # the last one was there before, and is forgotten


class Boxes:
    """Finds bright boxes; numbers them by their place in each piece, so that numbers change."""

    asked: int = 0

    def encode(self, video: Video) -> Video:
        assert len(video) <= 8, "only pieces are read"
        return video

    def ground(self, video: Video, queries: Sequence[Query]) -> list[GroundedText]:
        self.asked += 1
        pixels = video.frames(range(len(video)))
        found = [channel for channel in (2, 1, 0) if (pixels[..., channel] > 128).any()]
        if self.asked % 2:
            found.reverse()
        tracks = [MaskTrack.from_masks(i, pixels[..., c] > 128) for i, c in enumerate(found)]
        spans = tuple(Span(4, 7, (i,)) for i in range(len(found)))
        return [GroundedText("the box", spans, tuple(tracks)) for _ in queries]

    def fingerprint(self) -> dict[str, str]:
        return {"boxes": "1"}


def moving_boxes(count: int) -> np.ndarray:
    """A red box at the left, a green one at the right that is away in the middle of the video."""
    pixels = np.zeros((count, 32, 64, 3), np.uint8)
    for index in range(count):
        pixels[index, 4 + index % 9 : 14 + index % 9, 4:14, 0] = 255
        if not count // 3 <= index < 2 * count // 3:
            pixels[index, 8:18, 44:60, 1] = 255
    return pixels


def test_objects_keep_their_identity_over_pieces_and_when_they_come_back() -> None:
    pixels = moving_boxes(60)
    chunked = Chunked(ChunkedConfig(recipe="unused", length=8, overlap=2), Boxes())
    video = Video.open(pixels)
    (answer,) = chunked.ground(chunked.encode(video), [Query("the box")])
    assert answer.text == "the box" and len(answer.tracks) == 2
    whole = {channel: MaskTrack.from_masks(0, pixels[..., channel] > 128).frames for channel in (0, 1)}
    assert {track.frames for track in answer.tracks} == set(whole.values())
    assert {id for span in answer.spans for id in span.tracks} == {0, 1}
    assert [piece["start"] for piece in answer.meta["pieces"]][:3] == [0, 6, 12]


def test_a_short_video_is_answered_as_without_pieces(model: GroundingModel) -> None:
    video = Video.open(frames(9))
    chunked = Chunked(ChunkedConfig(recipe="unused", length=9, overlap=2), model)
    assert chunked.ground(chunked.encode(video), [Query("the cat")]) == [model.ground(video, "the cat")]


@pytest.mark.parametrize(("count", "expected"), [(5, [(0, 5)]), (8, [(0, 8)]), (9, [(0, 8), (6, 9)])])
def test_pieces_cover_a_video(count: int, expected: list[tuple[int, int]]) -> None:
    assert list(pieces(count, 8, 2)) == expected


def test_pieces_must_get_ahead() -> None:
    with pytest.raises(GroundingError, match="smaller overlap"):
        Chunked(ChunkedConfig(recipe="unused", length=4, overlap=4), Boxes())


def test_items_ahead_come_in_order_with_the_producers_errors() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise ValueError("the end is missing")

    got = []
    with pytest.raises(ValueError, match="the end is missing"):
        for item in ahead(items()):
            got.append(item)
    assert got == [0, 1, 2, 3, 4]


def test_a_consumer_that_stops_ends_the_producer() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            yield number

    stream = ahead(items(), size=2)
    assert next(stream) == 0
    stream.close()
    assert len(made) <= 5


def test_work_ahead_keeps_the_order() -> None:
    def work(number: int) -> int:
        time.sleep(0.01 * (number % 3))
        return number * number

    assert list(ahead_map(work, range(12), threads=3)) == [number * number for number in range(12)]


class Brightest(FrameSelector):
    """The frames whose first channel is brightest, where the question says so."""

    uses_query = True

    def select(self, video: Video, query: Query | None, count: int) -> list[int]:
        if query is None or "bright" not in query.text:
            return list(range(count))
        darkness = [-frame.mean() for _, frame in video.stream()]
        return sorted(np.argsort(darkness, kind="stable")[:count].tolist())


def test_frames_may_be_chosen_by_the_question(tmp_path: Path) -> None:
    model = small_model(tmp_path)
    model.select_with(Brightest(None))
    source = frames(30) // 4
    bright = [3, 5, 8, 13, 17, 21, 22, 29]
    source[bright] += 100
    answers = model.ground(Video.open(source), [Query("the bright cat"), Query("the cat")])
    assert [answer.meta["sampled_frames"] for answer in answers] == [bright, list(range(8))]


def test_a_recipe_names_its_selector_and_is_the_same_without(tmp_path: Path) -> None:
    default = small_model(tmp_path)
    named = small_model(tmp_path, "sampling.select={type: uniform}")
    video = Video.open(frames(20))
    assert named.ground(video, "the cat") == default.ground(video, "the cat")
    with pytest.raises(RecipeError, match=r"sampling\.select"):
        small_model(tmp_path, "sampling.select={type: uniform, often: true}")
