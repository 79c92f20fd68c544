"""Makes the pictures of the shipped model's answers: ``python docs/pictures.py``, a minute on two cores.

Run it after the weights have changed. It asks about the first videos of the sprites' validation split, takes
the best of the answers to expressions and the best description (by the IoU of all masks together, and by how
well their colours are seen), and writes below docs/assets: ``hero.webp`` (moves), ``hero.png`` (is still),
``example.json`` (for the first page).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import grounding_core as gc
from grounding_core import drawing
from grounding_core.interfaces.dataset import Sample
from grounding_core.masks import MaskTrack
from grounding_core.player.film import film, layer
from grounding_core.plugins import registry
from grounding_core.render import contact_sheet

ASSETS = Path(__file__).parent / "assets"
VIDEOS = 12
SIDE = 384


def iou(one: Sequence[MaskTrack], other: Sequence[MaskTrack]) -> float:
    """Of all masks of both sides over all frames."""
    if not one or not other:
        return 0.0
    first, second = (np.any([track.masks() for track in tracks], axis=0) for tracks in (one, other))
    return float((first & second).sum() / max(1, (first | second).sum()))


def best(model: object, samples: Sequence[Sample]) -> tuple[Sample, gc.GroundedText, float]:
    """The sample that is answered best."""
    videos: dict[str, list[Sample]] = {}
    for sample in samples:
        videos.setdefault(sample.video_id, []).append(sample)
    found = []
    for group in videos.values():
        context = model.encode(group[0].open_video())  # type: ignore[attr-defined]
        answers = model.ground(context, [sample.query for sample in group])  # type: ignore[attr-defined]
        found += [
            (sample, answer, iou(answer.tracks, sample.load_truth().tracks))
            for sample, answer in zip(group, answers, strict=True)
        ]
    return max(found, key=lambda entry: entry[2] * contrast(entry[1]))


def contrast(answer: gc.GroundedText) -> float:
    """How far the masks' colours are from what they cover, 0 to 1: orange on orange shows nothing."""
    assert answer.video is not None
    frame = len(answer.video) // 2
    (pixels,) = answer.video.frames([frame])
    found = [1.0]
    for track in answer.tracks:
        covered = pixels[track.mask(frame)].astype(float)
        if len(covered):
            apart = np.linalg.norm(covered - drawing.track_color(track.id), axis=1).mean()
            found.append(min(1.0, float(apart) / 150))
    return min(found)


def moving(answer: gc.GroundedText, path: Path) -> None:
    """The answer's masks over its video, as an animated picture."""
    video = answer.video
    assert video is not None
    size = drawing.fit(video.size, SIDE)
    frames = [drawing.draw_tracks(pixels, answer.tracks, index, size) for index, pixels in video.stream()]
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=round(1000 / video.fps), loop=0, quality=70
    )


def main() -> None:
    """Ask, choose, write."""
    model = gc.load(gc.DEFAULT_RECIPE)
    scenes = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sprites = registry().load("dataset", "sprites")
        sprites().prepare(root, split="val", videos=VIDEOS)
        for task in ("refseg", "gcg"):
            reading = sprites.readings[task]
            samples = registry().load("dataset", reading.reader)(root).samples(task, "val")
            if task == "refseg":
                samples = [sample for sample in samples if sample.query.kind == "refer"]
            sample, answer, value = best(model, samples)
            question = sample.query.text or "Describe the video."
            print(f"{task}: {question!r} about {sample.video_id}, IoU {value:.2f}: {answer.text}")
            assert answer.video is not None
            shown = film(answer.video, frames=16, longest=256)
            scenes.append(
                {"question": question, "film": shown.to_json(), "layers": [layer(shown, "", answer)]}
            )
            if task == "refseg":
                moving(answer, ASSETS / "hero.webp")
                sheet = contact_sheet(answer.video, answer, 4, title=question)
                sheet.quantize(128, method=Image.Quantize.MEDIANCUT).save(ASSETS / "hero.png", optimize=True)
    (ASSETS / "example.json").write_text(json.dumps(scenes, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
