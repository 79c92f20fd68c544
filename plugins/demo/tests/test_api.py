"""The HTTP API through a real server on this machine."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from grounding_demo.limits import Limits
from PIL import Image

from grounding_core import Video
from grounding_core.errors import VideoError
from grounding_core.serial import from_json

TOKEN = {"Authorization": "Bearer open sesame"}


def _six() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def server(start: Callable[..., str]) -> str:
    return start("serve", "--max-megabytes", "1", "--max-seconds", "5", GROUNDING_TOKEN="open sesame")


def post(server: str, data: bytes, name: str = "clip.mp4", **form: str) -> httpx.Response:
    files = {"video": (name, data)}
    return httpx.post(f"{server}/v1/ground", files=files, data=form, headers=TOKEN, timeout=120)


def test_answers_as_the_library_does(server: str, clip: Path) -> None:
    reply = post(server, clip.read_bytes(), question="the square")
    assert reply.status_code == 200, reply.text
    answer, video = from_json(reply.json()), Video.open(clip)
    assert reply.json()["video"]["frames"] == len(video)
    assert all(len(track) == len(video) and track.size == video.size for track in answer.tracks)
    assert answer.text


def test_describes_without_a_question(server: str, clip: Path) -> None:
    assert post(server, clip.read_bytes()).status_code == 200


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"question": "the square", "recipe": "../secret.yaml"}, "no recipe"),
        ({"question": "the square", "kind": "guess"}, "kind 'guess' is unknown"),
        ({"question": "square " * 200}, "more than 500 characters"),
    ],
)
def test_wrong_questions_are_explained(server: str, clip: Path, form: dict[str, str], said: str) -> None:
    reply = post(server, clip.read_bytes(), **form)
    assert reply.status_code == 422
    assert said in reply.json()["problem"]


@pytest.mark.parametrize(("data", "name"), [(b"no video", "a.mp4"), (b"", "a.mp4"), (b"x", "../../a.png")])
def test_what_is_no_video_is_refused_without_paths(server: str, data: bytes, name: str) -> None:
    reply = post(server, data, name, question="the square")
    assert reply.status_code == 422
    assert "grounding-" not in reply.text and reply.json()["remedy"]


@pytest.mark.parametrize("name", ["a.m3u8", "a.m3u", "a.mp4", "a", "a.ffconcat", "a.MPD"])
def test_an_upload_never_shows_files_of_the_server(server: str, clip: Path, name: str) -> None:
    head, line = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n", "\n#EXT-X-ENDLIST\n"
    texts = [f"{head}{path}{line}" for path in (clip, f"file://{clip}", f"../../../..{clip}")]
    for text in [*texts, f"ffconcat version 1.0\nfile '{clip}'\n"]:
        reply = post(server, text.encode(), name, question="the square")
        assert reply.status_code == 422, reply.text
        assert ("can't be opened" in reply.text) is (name in ("a.mp4", "a")) and str(clip) not in reply.text


def _picture(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return file.getvalue()


def _moving(size: tuple[int, int], count: int, codec: str, path: Path) -> bytes:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        frame = av.VideoFrame(size[1], size[0], "yuv420p")
        for index in range(count):
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path.read_bytes()


def test_pixels_are_limited_before_they_are_decoded(server: str, tmp_path: Path) -> None:
    for width, height in ((5000, 4000), (10000, 10000), (20000, 20000)):
        reply = post(server, _picture(width, height), "a.png", question="the square")
        said = reply.json()["problem"]
        assert reply.status_code == 422 and ("16777216 pixels a frame" in said or "67108864" in said), said
    clip = _moving((4320, 7680), 2, "mpeg4", tmp_path / "large.mp4")
    assert "7680x4320, more than 16777216 pixels" in post(server, clip, question="x").json()["problem"]
    # Were these frames decoded, it would take minutes: VP8 can't be counted without.
    for codec, name in (("mpeg4", "long.mp4"), ("libvpx", "long.webm")):
        clip = _moving((64, 64), 700, codec, tmp_path / name)
        assert "more than 300" in post(server, clip, name, question="x").json()["problem"]


def test_all_frames_together_are_limited(clip: Path) -> None:
    limits = Limits(clip_pixels=1000)
    with pytest.raises(VideoError, match=r"12 frames of \d+x\d+, more than 1000 pixels in all"):
        limits.open(clip)


def test_every_refusal_has_a_problem_and_a_remedy(server: str) -> None:
    without = httpx.post(f"{server}/v1/ground", data={"question": "x"}, headers=TOKEN)
    assert (without.status_code, without.json()["problem"]) == (422, "video: Field required.")
    for path, code in (("/v1/ground", 405), ("/v2/ground", 404)):
        reply = httpx.get(f"{server}{path}", headers=TOKEN)
        assert reply.status_code == code and set(reply.json()) == {"problem", "remedy"}


def test_a_recipe_without_weights_says_so(server: str, clip: Path) -> None:
    reply = post(server, clip.read_bytes(), question="the square", recipe="videoglamm")
    assert reply.status_code == 422 and "names no checkpoint" in reply.json()["problem"]


def test_size_is_limited_before_and_while_it_comes(server: str) -> None:
    assert post(server, bytes(2 << 20), question="x").status_code == 413
    head = b'--b\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\n\r\n'
    chunks = [head, *[bytes(1 << 18)] * 8, b"\r\n--b--\r\n"]
    headers = {**TOKEN, "Content-Type": "multipart/form-data; boundary=b"}
    reply = httpx.post(f"{server}/v1/ground", content=iter(chunks), headers=headers, timeout=60)
    assert reply.status_code == 413 and set(reply.json()) == {"problem", "remedy"}


def test_nobody_gets_in_without_the_token(server: str) -> None:
    wrong: list[dict[str, str]] = [{}, {"Authorization": "Bearer close"}, {"Authorization": "open sesame"}]
    for headers in wrong:
        reply = httpx.get(f"{server}/v1/recipes", headers=headers)
        assert reply.status_code == 401
        assert "remedy" in reply.json()


def test_other_names_of_this_machine_are_not_answered(server: str) -> None:
    for name in (
        "elsewhere.example",
        "elsewhere.example:80",
        "127.0.0.1.example",
        "[2001:db8::1]:80",
        "[",
        "",
    ):
        reply = httpx.get(f"{server}/v1/recipes", headers={**TOKEN, "Host": name})
        assert reply.status_code == 400 and set(reply.json()) == {"problem", "remedy"}, name
    for name in ("localhost", "localhost:1", "127.0.0.1", "[::1]", "[::1]:1"):
        assert httpx.get(f"{server}/v1/recipes", headers={**TOKEN, "Host": name}).status_code == 200, name


@pytest.mark.skipif(not _six(), reason="this machine has no IPv6")
def test_listens_on_ipv6_too(start: Callable[..., str]) -> None:
    assert httpx.get(f"{start('serve', '--host', '::1')}/v1/recipes").status_code == 200


def test_pages_elsewhere_are_not_answered(server: str, clip: Path) -> None:
    files, form = {"video": ("clip.mp4", clip.read_bytes())}, {"question": "the square"}
    for origin, code in (("https://evil.example", 403), ("null", 403), (server, 200)):
        headers = {**TOKEN, "Origin": origin}
        reply = httpx.post(f"{server}/v1/ground", files=files, data=form, headers=headers, timeout=120)
        assert reply.status_code == code
    assert httpx.options(f"{server}/v1/ground", headers={"Origin": "https://evil.example"}).status_code == 403


def test_describes_itself(server: str) -> None:
    schema: dict[str, Any] = httpx.get(f"{server}/docs.json", headers=TOKEN).json()
    responses = schema["paths"]["/v1/ground"]["post"]["responses"]
    assert {"200", "401", "413", "422"} <= set(responses)
    assert {"text", "spans", "tracks", "video", "meta"} <= set(
        schema["components"]["schemas"]["Answer"]["properties"]
    )
    (scheme,) = schema["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert httpx.get(f"{server}/v1/recipes", headers=TOKEN).json()[0] == "videoglamm-tiny"
