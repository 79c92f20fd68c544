"""A contact sheet of videos with their text: ``python -m grounding_sprites.preview sheet.png``."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw

from grounding_sprites.scene import FRAMES, SIZE
from grounding_sprites.story import SPLIT_SEEDS, Story, tell

_SHOWN = range(0, FRAMES, 3)
_GAP, _LINE, _CHARACTERS = 4, 12, 128


def sheet(stories: Sequence[Story]) -> Image.Image:
    """One row a story: some frames, then its caption and its expressions."""
    rows = []
    for story in stories:
        said = " | ".join(expression.text for expression in story.expressions)
        lines = [*textwrap.wrap(story.caption.text, _CHARACTERS), *textwrap.wrap(said, _CHARACTERS)]
        row = Image.new("RGB", (len(_SHOWN) * (SIZE + _GAP), SIZE + _GAP + _LINE * (len(lines) + 1)), "black")
        for place, frame in enumerate(_SHOWN):
            row.paste(Image.fromarray(story.facts.rendered.frames[frame]), (place * (SIZE + _GAP), 0))
        ImageDraw.Draw(row).multiline_text((2, SIZE + _GAP), "\n".join(lines), fill="white", spacing=1)
        rows.append(row)
    whole = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)))
    top = 0
    for row in rows:
        whole.paste(row, (0, top))
        top += row.height
    return whole


def main() -> None:
    """Write a sheet of the first videos of a split."""
    parser = argparse.ArgumentParser(prog="python -m grounding_sprites.preview", description=__doc__)
    parser.add_argument("out", help="picture to write")
    parser.add_argument("--split", choices=list(SPLIT_SEEDS), default="test")
    parser.add_argument("--seed", type=int, help="default: the split's own")
    parser.add_argument("--videos", type=int, default=4)
    options = parser.parse_args()
    seed = SPLIT_SEEDS[options.split] if options.seed is None else options.seed
    sheet([tell(seed, options.split, index) for index in range(max(options.videos, 1))]).save(options.out)


if __name__ == "__main__":
    main()
