"""The HTTP API: a video and a question in, a GroundedText as JSON out."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, File, Form, Request, Security, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from grounding_core import __version__
from grounding_core.cli.options import query_of
from grounding_core.errors import GroundingError
from grounding_core.serial import to_json
from grounding_demo.guard import Guard
from grounding_demo.service import Service

OVERHEAD = 1 << 16
"""Bytes of a request beside the clip itself."""


REMEDY = "See /docs.json."


class Rle(BaseModel):
    """One mask: COCO's compressed run-length code."""

    size: tuple[int, int] = Field(description="Height and width.")
    counts: str


class Track(BaseModel):
    """One object in every frame."""

    id: int
    size: tuple[int, int]
    frames: list[Rle | None] = Field(description="One a frame; null where the object is not visible.")


class Span(BaseModel):
    """``text[start:end]`` points at these tracks; offsets count Unicode code points."""

    start: int
    end: int
    tracks: list[int]


class Clip(BaseModel):
    """What was asked about."""

    frames: int
    size: tuple[int, int] = Field(description="Height and width.")
    fps: float


class Answer(BaseModel):
    """A GroundedText with the facts of its clip."""

    video: Clip
    text: str
    spans: list[Span]
    tracks: list[Track]
    meta: dict[str, Any]


class Problem(BaseModel):
    """Why there is no answer, and what to do about it."""

    problem: str
    remedy: str


def make_api(service: Service, *, token: str | None = None) -> FastAPI:
    """The API as an ASGI application.

    Args:
        service: what answers.
        token: bearer token that callers must send; None: everybody may ask.
    """
    api = FastAPI(
        title="grounding_core",
        version=__version__,
        description="Say what is in a video and point at it, pixel by pixel.",
        openapi_url="/docs.json",
        docs_url=None,  # FastAPI's own page loads scripts from the net
        redoc_url=None,
        # Describes what Guard demands.
        dependencies=[] if token is None else [Security(HTTPBearer(auto_error=False))],
    )
    api.add_middleware(Guard, token=token, size=service.limits.bytes + OVERHEAD)

    @api.exception_handler(GroundingError)
    def explain(_: Request, error: GroundingError) -> JSONResponse:
        return JSONResponse({"problem": error.problem, "remedy": error.remedy}, 422)

    @api.exception_handler(RequestValidationError)
    def explain_form(_: Request, error: RequestValidationError) -> JSONResponse:
        fields = [f"{fault['loc'][-1]}: {fault['msg']}" for fault in error.errors()]
        return JSONResponse({"problem": f"{'; '.join(fields)}.", "remedy": REMEDY}, 422)

    @api.exception_handler(HTTPException)
    def explain_request(_: Request, error: HTTPException) -> JSONResponse:
        said: Any = error.detail  # Guard tells more than a text
        told = said if isinstance(said, dict) else {"problem": f"{said}.", "remedy": REMEDY}
        return JSONResponse(told, error.status_code, error.headers)

    @api.get("/v1/recipes")
    def recipes() -> list[str]:
        """Names of the recipes that can be asked for, the default first."""
        return service.recipes

    @api.post("/v1/ground", responses={code: {"model": Problem} for code in (401, 413, 422)})
    def ground(
        video: Annotated[UploadFile, File(description="A video file, or one image.")],
        question: Annotated[str, Form(description="What to find; empty: describe the video.")] = "",
        kind: Annotated[
            str | None, Form(description="refer, ask, locate or describe; guessed when left out.")
        ] = None,
        recipe: Annotated[str | None, Form(description="One of /v1/recipes; the first if left out.")] = None,
    ) -> Answer:
        """Answer a question about the video in the request. Nothing of it is kept."""
        query = query_of(question or None, kind)
        with tempfile.TemporaryDirectory(prefix="grounding-") as folder:
            # Of the sender's file name only the ending counts, which tells images from videos.
            ending = Path(video.filename or "").suffix
            path = Path(folder) / f"clip{ending if ending[1:].isalnum() else ''}"
            with path.open("wb") as file:
                shutil.copyfileobj(video.file, file)
            clip = service.limits.open(path)
            try:
                answer = service.ask(clip, query, recipe)
            finally:
                service.forget(clip)
            facts = {"frames": len(clip), "size": clip.size, "fps": clip.fps}
            return Answer.model_validate({"video": facts, **to_json(answer)})

    return api
