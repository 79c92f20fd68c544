"""One visitor's clip and conversation, and the files the page shows of them."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grounding_core.markup import Marked
from grounding_core.player.embed import palette
from grounding_core.render import save_answer, write_overlay
from grounding_core.serial import to_json
from grounding_core.types import GroundedText, Query
from grounding_core.video import Video
from grounding_demo.limits import Limits

MEDIA = "media"
"""Where the page finds files; the folders below it have names that can't be guessed."""


def title_of(query: Query) -> str:
    """A question as it stands in the conversation."""
    return query.text or "Describe the video."


@dataclass
class Session:
    """What a visitor sees.

    Attributes:
        folder: its files; removed by `close`.
        video: the clip that is asked about.
        turns: questions and answers so far, as the page shows them.
    """

    folder: Path
    video: Video
    turns: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def begin(cls, root: Path, clip: Path, limits: Limits) -> Session:
        """Take a clip and write what a browser can play of it.

        Raises:
            VideoError: it is outside the limits, or no video.
        """
        limits.open(clip)  # before anything is copied
        folder = root / secrets.token_urlsafe(16)
        folder.mkdir(parents=True)
        try:
            kept = folder / f"clip{clip.suffix}"
            if clip.is_dir():
                shutil.copytree(clip, kept)
            else:
                shutil.copyfile(clip, kept)
            video = limits.open(kept)
            video.name = clip.stem
            write_overlay(video, GroundedText(""), folder / "plain.mp4")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return cls(folder, video)

    def add(self, query: Query, answer: GroundedText, recipe: str) -> None:
        """Note an answer; its files come with `save`."""
        title = title_of(query)
        self.turns.append({"question": title, "recipe": recipe, "files": [], **to_json(answer)})

    def save(self, answer: GroundedText) -> None:
        """Write the newest answer's files: overlay, JSON with run-length codes, masks as PNGs."""
        turn = self.turns[-1]
        folder = self.folder / f"answer-{len(self.turns)}"
        save_answer(answer, self.video, folder, title=turn["question"])
        files = ["overlay.mp4", "answer.json", "sheet.png"]
        if answer.tracks:
            shutil.make_archive(str(folder / "masks"), "zip", folder / "masks")
            files.append("masks.zip")
        turn["files"] = [{"name": name, "url": self._url(f"{folder.name}/{name}")} for name in files]

    def shown(self, busy: str = "", *, asked: str = "", writing: Marked | None = None) -> dict[str, Any]:
        """What the page draws: the clip, the conversation, and what is going on.

        Args:
            busy: what is being done.
            asked: the question that is being answered.
            writing: its answer so far.
        """
        height, width = self.video.size
        times = self.video.timestamps
        return {
            "busy": busy,
            "asked": asked,
            "writing": None
            if writing is None
            else {
                "text": writing.text,
                "spans": [[span.start, span.end, span.tracks] for span in writing.spans],
            },
            "video": {
                "name": self.video.name,
                "url": self._url("plain.mp4"),
                "size": [height, width],
                "times": [round(float(time - times[0]), 4) for time in times],
            },
            "turns": list(self.turns),
            "palette": palette(),
        }

    def close(self) -> None:
        """Delete the files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _url(self, name: str) -> str:
        return f"/{MEDIA}/{self.folder.name}/{name}"
