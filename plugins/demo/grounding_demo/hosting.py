"""The demo as a web application, and where its files are while it runs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from grounding_demo.clips import clips_in, generated_clips
from grounding_demo.service import Service
from grounding_demo.session import MEDIA


@contextmanager
def open_demo(service: Service, clips: Path | None = None) -> Iterator[FastAPI]:
    """The demo as an ASGI application; its files are gone when the context ends.

    Args:
        service: what answers.
        clips: folder of clips to offer; None: generated ones, where a data set makes them.

    Raises:
        DataError: the folder has no clips.
    """
    offered = generated_clips() if clips is None else clips_in(clips)
    with tempfile.TemporaryDirectory(prefix="grounding-demo-") as folder:
        media = Path(folder) / MEDIA
        media.mkdir()
        # Read by gradio when it is imported, and when it stores an upload.
        os.environ["GRADIO_TEMP_DIR"] = str(Path(folder) / "uploads")
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        import gradio as gr

        from grounding_demo.page import STATIC, make_page

        app = FastAPI(openapi_url=None)
        app.mount(f"/{MEDIA}", StaticFiles(directory=media))
        fonts = ["system-ui", "-apple-system", "Segoe UI", "sans-serif"]
        theme = gr.themes.Soft(primary_hue="teal", font=fonts, font_mono=["ui-monospace", "monospace"])
        # Gradio's own shades leave too little contrast to read.
        theme.set(
            button_primary_background_fill="*primary_700",
            button_primary_background_fill_hover="*primary_800",
            button_primary_background_fill_dark="*primary_700",
            button_primary_background_fill_hover_dark="*primary_800",
            block_title_text_color="*primary_800",
            block_title_background_fill_dark="*primary_800",
            input_placeholder_color="*neutral_500",
            input_placeholder_color_dark="*neutral_300",
        )
        yield gr.mount_gradio_app(
            app,
            make_page(service, offered, media),
            path="/",
            theme=theme,
            css_paths=STATIC / "page.css",
            footer_links=[],
            max_file_size=service.limits.bytes,
            ssr_mode=False,
        )
