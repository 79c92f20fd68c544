"""The review page and what it asks for: items worst first, changes, redrawing, CVAT, and the reviewed set."""

from __future__ import annotations

import io
import tempfile
import threading
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, File, UploadFile
from PIL import Image
from pydantic import BaseModel, Field
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from benchmarks.annotate.steps import build
from benchmarks.annotate.writers import marked
from benchmarks.datasets.markup import Caption
from benchmarks.review import cvat
from benchmarks.review.changes import Change, ReviewError
from benchmarks.review.export import export
from benchmarks.review.reviewing import Review, ReviewItem
from grounding_core.config import Part
from grounding_core.errors import GroundingError
from grounding_core.interfaces.spatial_prompts import SpatialPrompts
from grounding_core.player.embed import palette, script
from grounding_core.serial import to_json
from grounding_demo.guard import Guard

STATIC = Path(__file__).parent / "static" / "review"
LARGEST = 1 << 28
"""Bytes of a request: a zip of CVAT holds frames."""
QUALITY = 90


class Made(BaseModel):
    """A change as the page sends it; what an action needs beside is in ``values``."""

    action: str
    values: dict[str, Any] = Field(default_factory=dict)


class Drawn(BaseModel):
    """A box or clicks in a frame, in pixels of the video."""

    frame: int = Field(ge=0)
    track: int | None = Field(default=None, ge=0, description="Object to redraw; null: a new one.")
    box: tuple[float, float, float, float] | None = None
    points: list[tuple[float, float, int]] = Field(default_factory=list, description="x, y, inside (1 or 0).")


def make_review(review: Review, *, who: str, masks: Part) -> FastAPI:
    """The review as an ASGI application.

    Args:
        review: the items.
        who: the reviewer, to whom changes are put down.
        masks: mask maker that redraws.

    Raises:
        GroundingError: the mask maker can't be made.
    """
    app = FastAPI(openapi_url=None)
    app.add_middleware(Guard, token=None, size=LARGEST)
    app.mount("/static", StaticFiles(directory=STATIC))
    maker = build("masks", masks)
    drawing = threading.Lock()  # one model, one question at a time

    @app.exception_handler(GroundingError)
    def explain(_: Any, error: GroundingError) -> JSONResponse:
        return JSONResponse({"problem": error.problem, "remedy": error.remedy}, 422)

    @app.get("/")
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/player.js")
    def player() -> Response:
        return Response(script(), media_type="text/javascript")

    @app.get("/items")
    def items() -> dict[str, Any]:
        listed = [
            {
                "id": item.sample.id,
                "task": item.task,
                "score": item.score,
                "status": review.status(item),
                "kinds": list(dict.fromkeys(fault["kind"] for fault in item.faults)),
            }
            for item in review.items
        ]
        return {"who": who, "items": listed, "palette": palette()}

    @app.get("/items/{place}")
    def item(place: int) -> dict[str, Any]:
        return _shown(review, review.item(place))

    @app.get("/items/{place}/frames/{index}")
    def frame(place: int, index: int) -> Response:
        video = review.item(place).sample.open_video()
        picture = io.BytesIO()
        Image.fromarray(video.frames([index])[0]).save(picture, "JPEG", quality=QUALITY)
        return Response(
            picture.getvalue(), media_type="image/jpeg", headers={"Cache-Control": "max-age=3600"}
        )

    @app.post("/items/{place}/changes")
    def change(place: int, made: Made) -> dict[str, Any]:
        found = review.item(place)
        review.add(Change.made_now(found.key, made.action, who, made.values))
        return _shown(review, found)

    @app.post("/items/{place}/redraw")
    def redraw(place: int, drawn: Drawn) -> dict[str, Any]:
        found = review.item(place)
        text, video = review.text(found), found.sample.open_video()
        if drawn.frame >= len(video):
            raise ReviewError(f"There is no frame {drawn.frame}.", f"The video has {len(video)}.")
        if (drawn.box is None) == (not drawn.points):
            raise ReviewError("Nothing points at an object.", "Send a box, or clicks.")
        prompts = (
            SpatialPrompts(boxes=np.array([drawn.box], dtype=np.float64))
            if drawn.box is not None
            else SpatialPrompts(points=np.array([drawn.points], dtype=np.float64))
        )
        with drawing:
            track = maker.redraw(video, drawn.frame, prompts)
        new = max((one.id for one in text.tracks), default=-1) + 1
        values = {
            "track": new if drawn.track is None else drawn.track,
            "masks": [code and code.decode("ascii") for code in track.frames],
            "size": list(video.size),
            "drawn": {"by": maker.by, **drawn.model_dump(exclude={"track"})},
        }
        review.add(Change.now(found.key, "mask", who, **values))
        return _shown(review, found)

    @app.get("/items/{place}/cvat.zip")
    def to_cvat(place: int) -> Response:
        with tempfile.TemporaryDirectory(prefix="grounding-") as folder:
            path = Path(folder) / "cvat.zip"
            cvat.write(review, review.item(place), path)
            name = f"attachment; filename=item-{place}.zip"
            return Response(
                path.read_bytes(), media_type="application/zip", headers={"Content-Disposition": name}
            )

    @app.post("/cvat")
    def from_cvat(file: Annotated[UploadFile, File()]) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="grounding-") as folder:
            path = Path(folder) / "cvat"
            path.write_bytes(file.file.read())
            changes = cvat.read(review, path, who)
        return {"changes": len(changes), "place": review.places[changes[0].item] if changes else None}

    @app.post("/export")
    def write() -> dict[str, Any]:
        out = review.out / "reviewed"
        return {"folder": str(out), **export(review, out)}

    return app


def _shown(review: Review, item: ReviewItem) -> dict[str, Any]:
    """An item as the page draws it; what can't be read is told instead."""
    shown: dict[str, Any] = {
        "key": item.key,
        "question": item.sample.query.text,
        "kind": item.sample.query.kind,
        "score": item.score,
        "status": review.status(item),
        "faults": [{k: fault[k] for k in ("kind", "reason", "frames", "tracks")} for fault in item.faults],
        "changes": [
            {"action": change.action, "who": change.who, "when": change.when}
            for change in review.changes(item)
        ],
    }
    try:
        text, video = review.text(item), item.sample.open_video()
    except GroundingError as error:
        return {**shown, "problem": str(error), "text": "", "spans": [], "tracks": [], "video": None}
    facts = {"frames": len(video), "size": list(video.size), "fps": round(video.fps, 3)}
    fits = [track for track in text.tracks if (track.size, len(track)) == (video.size, len(video))]
    told = to_json(text)
    told["tracks"] = [one for one in told["tracks"] if one["id"] in {track.id for track in fits}]
    return {**shown, **told, "marked": marked(Caption(text.text, text.spans)), "video": facts}
