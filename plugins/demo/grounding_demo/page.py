"""The page: a clip, questions, and answers whose phrases point at what plays.

Importing it imports gradio, which then reads where to keep uploads: see `grounding_demo.hosting`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from grounding_core.cli.options import query_of
from grounding_core.errors import GroundingError
from grounding_core.player.embed import script, style
from grounding_core.video import Video
from grounding_demo.service import Service
from grounding_demo.session import Session, title_of
from grounding_demo.watching import Job

STATIC = Path(__file__).parent / "static"
IDLE_SECONDS = 3600
"""Files of a visitor who does nothing for so long are deleted."""

Shown = tuple[Session | None, Any]


def make_page(service: Service, clips: list[Path], media: Path) -> Any:
    """The page as Gradio blocks, sessions kept below ``media``."""

    def begin(clip: Path, session: Session | None) -> Shown:
        try:
            new = Session.begin(media, clip, service.limits)
        except GroundingError as error:
            raise gr.Error(str(error), print_exception=False) from error
        if session is not None:
            end(session)
        return new, new.shown()

    def pick(session: Session | None, event: gr.SelectData) -> Shown:
        return begin(clips[int(event.index)], session)

    def upload(path: str, session: Session | None) -> Shown:
        try:
            return begin(Path(path), session)
        finally:
            Path(path).unlink(missing_ok=True)

    def end(session: Session | None) -> None:
        if session is not None:
            service.forget(session.video)
            session.close()

    def ask(text: str, recipe: str, session: Session | None) -> Iterator[tuple[Any, ...]]:
        if session is None:
            raise gr.Error("Choose a clip first.", print_exception=False)
        try:
            query = query_of(text.strip() or None)
            asked = title_of(query)
            yield "", session, session.shown(f"Asking {recipe} …", asked=asked)
            job = Job(lambda told: service.ask(session.video, query, recipe, told))
            for writing in job.heard():
                yield "", session, session.shown("Writing …", asked=asked, writing=writing)
            answer = job.result()
            session.add(query, answer, recipe)
            yield "", session, session.shown("Writing files …")
            session.save(answer)
            yield "", session, session.shown()
        except GroundingError as error:
            yield text, session, session.shown()
            raise gr.Error(str(error), print_exception=False) from error

    with gr.Blocks(title="grounding_core", analytics_enabled=False, delete_cache=(600, IDLE_SECONDS)) as page:
        session = gr.State(None, time_to_live=IDLE_SECONDS, delete_callback=end)
        gr.Markdown("# Ask a clip\nThe answer's phrases point at what they mean, in every frame.")
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=3, min_width=320):
                stage = gr.HTML(
                    None,
                    html_template="<div class='stage'></div>",
                    css_template=f"{style()}{(STATIC / 'stage.css').read_text(encoding='utf-8')}",
                    js_on_load=f"{script()}\n{(STATIC / 'stage.js').read_text(encoding='utf-8')}",
                    elem_id="stage",
                    apply_default_css=False,
                )
            with gr.Column(scale=2, min_width=300):
                if clips:
                    gallery = gr.Gallery(
                        [_poster(path) for path in clips],
                        label="Clips",
                        show_label=False,
                        columns=3,
                        height="auto",
                        allow_preview=False,
                        interactive=False,
                        buttons=[],
                        elem_id="clips",
                    )
                    gallery.select(pick, session, [session, stage])
                limits = service.limits
                button = gr.UploadButton(
                    f"Upload a clip or an image (up to {limits.megabytes} MB, {limits.seconds} s)",
                    file_types=["video", "image"],
                    elem_id="upload",
                )
                question = gr.Textbox(
                    label="Question",
                    placeholder="What moves left? · the red cat · empty: describe",
                    max_length=limits.letters,
                    elem_id="question",
                )
                send = gr.Button("Ask", variant="primary", elem_id="ask")
                recipe = gr.Dropdown(
                    service.choices(), value=service.recipes[0], label="Recipe", elem_id="recipe"
                )
        button.upload(upload, [button, session], [session, stage])
        for event in (question.submit, send.click):
            event(ask, [question, recipe, session], [question, session, stage], show_progress="hidden")
    page.queue(max_size=16)
    return page


def _poster(clip: Path) -> Any:
    video = Video.open(clip)
    return video.frames([len(video) // 2])[0]
