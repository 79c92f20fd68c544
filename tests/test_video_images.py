"""Images as videos: folders, one image, animations, and what their pixels hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import clips
import numpy as np
import pytest
from PIL import Image

from grounding_core.errors import VideoError
from grounding_core.video import Video


def test_image_folder_sorts_by_number(tmp_path: Path) -> None:
    for index in (10, 2, 1):
        Image.fromarray(clips.picture(index)).save(tmp_path / f"{index}.png")
    (tmp_path / "notes.txt").write_text("not a frame")
    (tmp_path / "._1.png").write_bytes(b"left by a file manager")
    video = Video.open(tmp_path, fps=10)
    assert clips.levels(video.frames(range(3))) == [1, 2, 10]
    assert video.timestamps == pytest.approx([0, 0.1, 0.2])
    assert video.name == tmp_path.name
    paths: list[str | Path] = [tmp_path / "10.png", str(tmp_path / "1.png")]
    assert clips.levels(np.stack([frame for _, frame in Video.open(paths).stream()])) == [10, 1]


def test_image_kinds_become_rgb(tmp_path: Path) -> None:
    grey = np.full((6, 5), 77, np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.new("RGBA", (5, 6), (1, 2, 3, 128)).save(tmp_path / "alpha.png")
    assert (Video.open(tmp_path / "grey.png").frames([0]) == 77).all()
    assert Video.open(tmp_path / "alpha.png").frames([0])[0, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize(
    ("orientation", "size", "corner"),
    [(3, (48, 64), (-5, -5)), (6, (64, 48), (5, -5)), (8, (64, 48), (-5, 5))],
)
def test_exif_orientation_is_applied(
    tmp_path: Path, suffix: str, orientation: int, size: tuple[int, int], corner: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"phone.{suffix}"
    Image.fromarray(clips.picture(0)).save(path, exif=exif, quality=95)
    video = Video.open(path)
    frame = video.frames([0])[0]
    assert video.size == frame.shape[:2] == size
    assert frame[corner][0] > 200
    assert (frame[..., 0] > 200).mean() == pytest.approx(1 / 4, abs=0.02)


@pytest.mark.parametrize("side", [9_000, 100_000])
def test_absurd_dimensions_are_refused(tmp_path: Path, side: int) -> None:
    # A header only: were the pixels asked for, this would fail for want of data or of memory.
    (tmp_path / "huge.png").write_bytes(f"P6 {side} {side} 255\n".encode())
    with pytest.raises(
        VideoError, match=r"huge\.png has (frames of 9000x9000|more than the 67108864) pixels"
    ):
        Video.open(tmp_path / "huge.png")


def test_frames_of_mixed_size_name_the_file(tmp_path: Path) -> None:
    Image.fromarray(clips.picture(0)).save(tmp_path / "0.png")
    Image.fromarray(clips.picture(1, (10, 12))).save(tmp_path / "1.png")
    with pytest.raises(VideoError, match=r"1\.png is 12x10, but 0\.png is 64x48"):
        Video.open(tmp_path).frames([0, 1])


def test_opening_imports_nothing_heavy_for_images(tmp_path: Path) -> None:
    Image.fromarray(clips.picture(3)).save(tmp_path / "a.png")
    code = (
        "import sys\nfrom grounding_core.video import Video\n"
        "assert not {'av', 'decord', 'PIL', 'torch'} & set(sys.modules)\n"
        f"Video.open({str(tmp_path)!r}).frames([0])\n"
        "assert not {'av', 'decord', 'torch'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, suffix: str) -> None:
    grey = np.linspace(0, 65535, 48 * 64).reshape(48, 64).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(grey).save(tmp_path / f"deep.{suffix}", exif=exif)
    frame = Video.open(tmp_path / f"deep.{suffix}").frames([0])[0]
    assert frame.shape == (64, 48, 3)
    assert np.abs(frame - np.rot90(grey, -1)[..., None] / 257).max() <= 0.5


@pytest.mark.parametrize(("kind", "named"), [(np.float32, "floating point"), (np.int32, "32 bits")])
def test_pixels_without_a_white_are_refused(tmp_path: Path, kind: type, named: str) -> None:
    Image.fromarray(np.ones((6, 5), kind)).save(tmp_path / "depth.tif")
    with pytest.raises(VideoError, match=rf"depth\.tif has pixels of {named}, .*8 bits"):
        Video.open(tmp_path / "depth.tif")


def _animation(path: Path) -> Path:
    first, *others = (Image.fromarray(clips.picture(index)) for index in range(10))
    first.save(path, save_all=True, append_images=others, duration=100, loop=0)
    return path


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_animations_are_videos(tmp_path: Path, suffix: str) -> None:
    video = Video.open(_animation(tmp_path / f"moves.{suffix}"))
    assert (len(video), video.size) == (10, (48, 64)) and video.fps == pytest.approx(10)
    assert clips.levels(video.frames([9, 0, 4])) == [9, 0, 4]


@pytest.mark.parametrize("suffix", ["webp", "tif", "png"])
def test_several_pictures_are_not_taken_for_one(tmp_path: Path, suffix: str) -> None:
    path = _animation(tmp_path / f"moves.{suffix}")
    with pytest.raises(VideoError, match=rf"moves\.{suffix} holds several pictures"):
        Video.open(tmp_path if suffix == "png" else path)


def test_further_pictures_of_a_photo_are_ignored(tmp_path: Path) -> None:
    photo, depth = Image.fromarray(clips.picture(3)), Image.new("RGB", (32, 24))
    photo.save(tmp_path / "photo.jpg", format="MPO", save_all=True, append_images=[depth], quality=95)
    video = Video.open(tmp_path / "photo.jpg")
    assert (len(video), video.size) == (1, (48, 64)) and clips.levels(video.frames([0])) == [3]
