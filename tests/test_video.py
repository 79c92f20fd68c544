"""Videos from every kind of source, whole and damaged."""

from __future__ import annotations

import os
import pickle
import sys
import tracemalloc
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from grounding_core.errors import VideoError
from grounding_core.video import Video, sample_indices

CLIPS = Path(__file__).parents[2] / "shared" / "clips"

VARIED = [0, 40, 200, 230, 900, 940, 1000, 1500, 1510, 2000]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", options={"g": "7"})


@pytest.fixture(params=["with decord", "without decord"])
def readers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test with and without decord."""
    if request.param == "without decord":
        monkeypatch.setitem(sys.modules, "decord", None)
    else:
        pytest.importorskip("decord", exc_type=ImportError)
    return str(request.param)


def test_frames_in_any_order_with_repeats(clip: Path, readers: str) -> None:
    video = Video.open(clip)
    assert (len(video), video.size, video.name) == (30, (48, 64), "clip")
    assert video.fps == pytest.approx(25)
    wanted = [29, 0, 7, 7, 28, 13]
    frames = video.frames(wanted)
    assert frames.dtype == np.uint8 and frames.shape == (6, 48, 64, 3)
    assert clips.levels(frames) == wanted
    assert frames[0][0, 0, 0] > 200 > 60 > frames[0][0, 0, 2]  # red first: RGB, not BGR
    assert video.frames([]).shape == (0, 48, 64, 3)


def test_streaming_gives_what_random_access_gives(clip: Path, readers: str) -> None:
    video = Video.open(clip)
    streamed = list(video.stream())
    assert [index for index, _ in streamed] == list(range(30))
    assert np.array_equal(np.stack([frame for _, frame in streamed]), video.frames(range(30)))
    assert [(i, clips.levels(frame[None])[0]) for i, frame in video.stream(9, 12)] == [
        (9, 9),
        (10, 10),
        (11, 11),
    ]
    assert list(video.stream(5, 5)) == []


def test_streaming_memory_does_not_grow(tmp_path: Path) -> None:
    pytest.importorskip("decord", exc_type=ImportError)
    size = (120, 160)
    video = Video.open(clips.make_clip(tmp_path / "long.mp4", count=400, size=size))
    tracemalloc.start()
    for _ in video.stream():
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60 * size[0] * size[1] * 3 < 400 * size[0] * size[1] * 3


def test_a_clip_is_a_window_that_keeps_its_times(clip: Path) -> None:
    part = Video.open(clip).clip(10, 20).clip(2, 6)
    assert len(part) == 4
    assert clips.levels(part.frames(range(4))) == [12, 13, 14, 15]
    assert [clips.levels(frame[None])[0] for _, frame in part.stream(1)] == [13, 14, 15]
    assert part.timestamps == pytest.approx([0.48, 0.52, 0.56, 0.60])
    assert part.fps == pytest.approx(25)
    with pytest.raises(VideoError, match="no frames"):
        part.clip(2, 2)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_frame_rate(tmp_path: Path, suffix: str, readers: str) -> None:
    video = Video.open(clips.make_clip(tmp_path / f"varied{suffix}", count=10, times_ms=VARIED))
    assert video.timestamps == pytest.approx(np.asarray(VARIED) / 1000, abs=1e-3)
    assert video.fps == pytest.approx(9 / 2.0, rel=1e-3)
    assert clips.levels(video.frames([8, 4])) == [8, 4]


def test_times_count_from_the_first_frame(tmp_path: Path) -> None:
    late = clips.make_clip(tmp_path / "late.mp4", count=3, times_ms=[5000, 5040, 5080])
    assert Video.open(late).timestamps == pytest.approx([0, 0.04, 0.08])


@pytest.mark.parametrize(
    ("matrix", "size", "corner"),
    [
        ((0, 1, -1, 0), (64, 48), "upper right"),  # a quarter turn clockwise
        ((0, -1, 1, 0), (64, 48), "lower left"),
        ((-1, 0, 0, -1), (48, 64), "lower right"),
        ((-1, 0, 0, 1), (48, 64), "upper right"),  # mirrored
        ((1, 0, 0, -1), (48, 64), "lower left"),
        ((0, 1, 1, 0), (64, 48), "upper left"),
        ((0, -1, -1, 0), (64, 48), "lower right"),
    ],
)
def test_rotation_and_mirrors_are_applied(
    tmp_path: Path, readers: str, matrix: tuple[int, ...], size: tuple[int, int], corner: str
) -> None:
    video = Video.open(clips.turn(clips.make_clip(tmp_path / "turned.mp4", count=5), matrix))
    assert video.size == size
    frames = video.frames([0, 4])
    assert frames.shape == (2, *size, 3)
    # The stored pictures have their upper left quarter red.
    red = [
        f"{row} {column}"
        for row, y in (("upper", 5), ("lower", -5))
        for column, x in (("left", 5), ("right", -5))
        if frames[0][y, x, 0] > 200
    ]
    assert red == [corner]


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("libx265", "a.mp4"),
        ("libsvtav1", "a.mp4"),
        ("libvpx-vp9", "a.webm"),
        ("libvpx", "a.webm"),
        ("mpeg4", "a.avi"),
        ("libx264", "a.ts"),
        ("libx264", "a.h264"),
    ],
)
def test_codecs_and_containers(tmp_path: Path, codec: str, name: str) -> None:
    try:
        av.codec.Codec(codec, "w")
    except ValueError:
        pytest.skip(f"this PyAV can't write {codec}")
    video = Video.open(clips.make_clip(tmp_path / name, codec=codec, size=(64, 64), count=20))
    assert len(video) == 20
    assert clips.levels(video.frames([15, 0, 3, 19])) == [15, 0, 3, 19]
    assert [clips.levels(frame[None])[0] for _, frame in video.stream(8, 11)] == [8, 9, 10]


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"x264-params": "open-gop=1:keyint=8:scenecut=0:bframes=3:b-adapt=0"}),
        ("libx264", {"x264-params": "intra-refresh=1:keyint=8:bframes=0"}),
        ("libx265", {"x265-params": "open-gop=1:keyint=8:scenecut=0:bframes=3:b-adapt=0:log-level=none"}),
    ],
    ids=["x264 open GOPs", "x264 periodic refresh", "x265 open GOPs"],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_key_frames_that_do_not_stand_alone(
    tmp_path: Path, codec: str, options: dict[str, str], suffix: str, readers: str
) -> None:
    try:
        av.codec.Codec(codec, "w")
    except ValueError:
        pytest.skip(f"this PyAV can't write {codec}")
    video = Video.open(clips.make_clip(tmp_path / f"a{suffix}", codec=codec, size=(64, 64), options=options))
    assert len(video) == 30
    whole = np.stack([frame for _, frame in video.stream()]).astype(int)
    assert clips.levels(whole) == list(range(30))
    for index in range(30):
        assert np.abs(video.frames([index])[0] - whole[index]).max() <= 2, index
    assert clips.levels(video.frames([0, 5, 15, 18, 29])) == [0, 5, 15, 18, 29]
    assert [clips.levels(frame[None])[0] for _, frame in video.stream(13, 20)] == list(range(13, 20))


def test_frames_cut_off_by_an_edit_list_are_not_shown(tmp_path: Path, readers: str) -> None:
    whole = clips.make_clip(tmp_path / "whole.mp4", options={"g": "10"})
    with av.open(str(whole)) as source, av.open(str(tmp_path / "trimmed.mp4"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                shift = round(0.2 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                target.mux(packet)
    video = Video.open(tmp_path / "trimmed.mp4")
    assert clips.levels(video.frames(range(len(video)))) == list(range(5, 30))
    assert clips.levels(video.frames([20, 0, 3])) == [25, 5, 8]


def test_decord_alone_is_enough(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("decord", exc_type=ImportError)
    monkeypatch.setitem(sys.modules, "av", None)
    video = Video.open(clip)
    assert video.timestamps == pytest.approx(np.arange(30) / 25)
    assert clips.levels(video.frames([22, 5])) == [22, 5]


def test_program_streams(tmp_path: Path, readers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"b": "2M"}
    path = clips.make_clip(
        tmp_path / "a.mpg", codec="mpeg2video", size=(120, 160), options=options, noise=True
    )
    video = Video.open(path)
    assert [clips.levels(video.frames([index]))[0] for index in range(30)] == list(range(30))
    assert clips.levels(np.stack([frame for _, frame in video.stream()])) == list(range(30))
    if readers == "with decord":
        monkeypatch.setitem(sys.modules, "av", None)
        with pytest.raises(VideoError, match=r"a\.mpg can't be opened \(decord: "):
            list(Video.open(path).stream())


def test_a_child_process_decodes_after_its_parent_did(clip: Path) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    video = Video.open(clip)
    streamed = video.stream()
    next(streamed)
    child = os.fork()
    if child == 0:
        os._exit(0 if clips.levels(video.frames([4, 20])) == [4, 20] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert clips.levels(next(streamed)[1][None]) == [1]


def test_tags_in_an_unknown_character_set_are_ignored(tmp_path: Path) -> None:
    path = clips.make_clip(tmp_path / "tags.mp4", count=3, metadata={"title": "MARK"})
    path.write_bytes(path.read_bytes().replace(b"MARK", b"\xff\xfe\xe9\xe8"))
    assert len(Video.open(path)) == 3


@pytest.mark.parametrize("size", [(4, 4), (2, 2)])
def test_tiny_frames_and_a_single_frame(tmp_path: Path, size: tuple[int, int]) -> None:
    video = Video.open(clips.make_clip(tmp_path / "tiny.mp4", count=1, size=size))
    assert (len(video), video.size, video.fps) == (1, size, 25.0)
    assert video.frames([0]).shape == (1, *size, 3)


def test_arrays(clip: Path) -> None:
    frames = Video.open(clip).frames(range(5))
    video = Video.open(frames, fps=5)
    assert len(video) == 5 and video.timestamps[-1] == pytest.approx(0.8)
    assert np.array_equal(video.frames([3, 1]), frames[[3, 1]])
    assert len(Video.open(frames[0])) == 1
    next(video.stream())[1][:] = 0
    video.frames([0])[:] = 0
    assert clips.levels(frames[1:]) == [1, 2, 3, 4] and frames[0].any()  # the caller's array is untouched


def test_a_handle_is_picklable_and_opening_a_video_returns_it(clip: Path) -> None:
    video = Video.open(clip)
    assert Video.open(video) is video
    copy = pickle.loads(pickle.dumps(video))
    assert clips.levels(copy.frames([4])) == [4] and copy.source == video.source


def test_the_decoders_agree_on_a_real_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    path = CLIPS / "bikes.mp4"
    if not path.is_file():
        pytest.skip(f"no {path}")
    pytest.importorskip("decord", exc_type=ImportError)
    wanted = [0, 1, 100, 249]
    with_decord = Video.open(path).frames(wanted)
    monkeypatch.setitem(sys.modules, "decord", None)
    without = Video.open(path)
    assert (len(without), without.size) == (250, (272, 640))
    assert np.abs(without.frames(wanted).astype(int) - with_decord).max() <= 2


def _damaged(folder: Path) -> dict[str, tuple[object, str]]:
    """name -> (source, what the error must say)."""
    text = folder / "text.mp4"
    text.write_text("hello\n" * 100)
    (folder / "zero.mp4").touch()
    (folder / "none").mkdir()
    (folder / "notes").mkdir()
    (folder / "notes" / "readme.txt").write_text("no image")
    (folder / "two").mkdir()
    for suffix in ("jpg", "png"):
        Image.fromarray(clips.picture(0)).save(folder / "two" / f"00000.{suffix}")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    late_index = clips.cut(clips.make_clip(folder / "late_index.mp4"), 0.6)
    options = {"movflags": "faststart"}
    early_index = clips.make_clip(folder / "early.mp4", container_options=options, options={"g": "5"})
    matroska = clips.make_clip(folder / "cut.mkv", count=100, size=(240, 320), options={"g": "10"})
    return {
        "missing": (folder / "missing.mp4", "does not exist"),
        "no name": ("", "path of the video is empty"),
        "endless name": ("a" * 5000, "too long"),
        "device": (os.devnull, "neither a file nor a folder"),
        "address": ("https://example.org/clip.mp4", "does not exist"),
        "text": (text, r"decord: .*PyAV: "),
        "zero bytes": (folder / "zero.mp4", "0 bytes"),
        "empty folder": (folder / "none", "is empty"),
        "no images": (folder / "notes", "holds no images"),
        "frames and masks": (folder / "two", "00000.jpg and 00000.png"),
        "broken image": (folder / "broken.png", "broken.png can't be read"),
        "sound": (clips.make_sound(folder / "sound.mp4"), "sound but no pictures"),
        "cut, index at the end": (late_index, r"decord: .*PyAV: "),
        "cut, index at the start": (clips.cut(early_index, 0.8), "cut short: .* frames"),
        "cut matroska": (clips.cut(matroska, 0.6), r"cut short: it announces 4\.0 s"),
        "no paths": ([], "no frames"),
        "missing image": ([folder / "missing.png"], "does not exist"),
        "float array": (np.zeros((2, 4, 4, 3), np.float32), "float32"),
        "grey array": (np.zeros((4, 4), np.uint8), r"\(4, 4\)"),
        "no frames": (np.zeros((0, 4, 4, 3), np.uint8), "no frames"),
        "no pixels": (np.zeros((2, 0, 4, 3), np.uint8), "4x0"),
    }


def test_what_is_no_video_gives_one_line_with_a_remedy(tmp_path: Path, readers: str) -> None:
    for name, (source, message) in _damaged(tmp_path).items():
        with pytest.raises(VideoError, match=message) as caught:
            Video.open(source)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value), name
        assert caught.value.remedy, name


HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize("name", ["a.m3u8", "a.m3u", "a.mp4", "a.ffconcat", "a%d.tga"])
def test_a_file_never_shows_other_files(tmp_path: Path, name: str, readers: str) -> None:
    other = clips.make_clip(tmp_path / "other.mp4", count=5)
    Image.fromarray(clips.picture(0)).save(tmp_path / "a0.tga")
    texts = [
        HLS.format(path) for path in ("other.mp4", other, f"file://{other}", f"../{tmp_path.name}/other.mp4")
    ]
    for text in [*texts, "ffconcat version 1.0\nfile other.mp4\n"]:
        (tmp_path / name).write_text(text)
        with pytest.raises(VideoError, match="can't be opened"):
            Video.open(tmp_path / name)


def test_an_image_is_never_run_as_a_program(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    )
    with pytest.raises(VideoError, match="can't be read"):
        Video.open(tmp_path / "a.png")


def test_a_file_that_cannot_be_opened_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    with pytest.raises(VideoError):
        Video.open(tmp_path / "text.mp4")
    assert capfd.readouterr() == ("", "")


def test_a_damaged_middle_names_the_frame(tmp_path: Path, readers: str) -> None:
    path = clips.make_clip(tmp_path / "hurt.mp4", options={"g": "10"})
    with av.open(str(path)) as container:
        packets = [
            (packet.pts, packet.pos, packet.size) for packet in container.demux(video=0) if packet.size
        ]
    shown = sorted(packet[0] for packet in packets)
    pts, place, size = packets[15]
    data = bytearray(path.read_bytes())
    data[place : place + size] = bytes([255]) * size
    path.write_bytes(data)
    video = Video.open(path)
    assert len(video) == 30
    assert clips.levels(video.frames([0, 29])) == [0, 29]
    with pytest.raises(VideoError, match=r"Frame \d+ of .*hurt.mp4 can't be decoded"):
        video.frames([shown.index(pts)])
    with pytest.raises(VideoError, match="can't be decoded"):
        list(video.stream())


@pytest.mark.parametrize("index", [-1, 30])
def test_frames_outside_the_video_are_refused(clip: Path, index: int) -> None:
    with pytest.raises(VideoError, match="which has 30 frames"):
        Video.open(clip).frames([index])


def test_a_frame_rate_must_be_possible() -> None:
    with pytest.raises(VideoError, match="frame rate"):
        Video.open(np.zeros((4, 4, 3), np.uint8), fps=0)


@given(st.integers(1, 2000), st.integers(1, 64))
def test_sampled_indices_span_the_video(total: int, count: int) -> None:
    indices = sample_indices(total, count)
    assert len(indices) == count and indices == sorted(indices)
    assert indices[0] == 0 and (indices[-1] == total - 1 or count == 1)
    if total >= count:
        assert len(set(indices)) == count


def test_sampled_indices_by_example() -> None:
    assert sample_indices(10, 4) == [0, 3, 6, 9]
    assert sample_indices(8, 4) == [0, 2, 4, 7]
    assert sample_indices(3, 5) == [0, 1, 2, 2, 2]
    with pytest.raises(VideoError):
        sample_indices(0, 4)
