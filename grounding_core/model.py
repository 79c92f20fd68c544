"""The pipeline: encode a video once, answer many questions with text, spans and mask tracks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, overload

import torch
from torch import Tensor, nn

from grounding_core.asking import Turn, Watch, say
from grounding_core.batch import Batch, Outputs
from grounding_core.checkpoint import digest
from grounding_core.compose import Plan, build_composed, plan
from grounding_core.config import QUESTION, VISUAL, Prompts, Recipe, Sampling, Seg
from grounding_core.errors import RecipeError
from grounding_core.interfaces.adapters import PromptAdapter, VisionAdapter
from grounding_core.interfaces.encoders import ImageEncoder, VideoEncoder
from grounding_core.interfaces.frame_selector import FrameSelector, Uniform
from grounding_core.interfaces.language_model import LanguageModel, Prefix
from grounding_core.interfaces.mask_decoder import MaskDecoder
from grounding_core.live import LiveAnswers, Step, arrivals
from grounding_core.markup import parse
from grounding_core.masks import MaskTrack, encode
from grounding_core.profiling import stage
from grounding_core.types import GroundedText, Query
from grounding_core.video import Video

__all__ = ["Batch", "Context", "GroundingModel", "Outputs", "Turn", "Watch"]


@dataclass(frozen=True)
class Context:
    """A video that has been read: its visual tokens (1, m, dl), their cache, the decoder's scene, and which
    frames the encoders saw."""

    video: Video
    prefix: Prefix
    visual: Tensor
    scene: Any
    sampled: Sequence[int]


class GroundingModel(nn.Module):
    """A composed model. Made by `grounding_core.compose.build`."""

    image_encoder: ImageEncoder | None
    video_encoder: VideoEncoder | None
    image_adapter: VisionAdapter | None
    video_adapter: VisionAdapter | None
    language_model: LanguageModel
    prompt_adapter: PromptAdapter
    mask_decoder: MaskDecoder
    converses = True
    """``ground`` takes ``history`` and ``told``: `grounding_core.interfaces.grounder.ask`."""

    def __init__(self, planned: Plan, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        recipe = planned.recipe
        assert recipe.sampling and recipe.seg and recipe.prompts  # plan() has checked
        for role in ("image_encoder", "video_encoder", "image_adapter", "video_adapter"):
            setattr(self, role, modules.get(role))
        self.language_model = modules["language_model"]  # type: ignore[assignment]
        self.prompt_adapter = modules["prompt_adapter"]  # type: ignore[assignment]
        self.mask_decoder = modules["mask_decoder"]  # type: ignore[assignment]
        self.plan = planned
        self._selection: tuple[FrameSelector] = (Uniform(None),)
        self.sampling: Sampling = recipe.sampling
        self.seg: Seg = recipe.seg
        self.prompts: Prompts = recipe.prompts
        self.seg_id = self.language_model.token_id(self.seg.token)

    # ---- folders and the hub ---------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls, source: str | Path, *, overrides: Sequence[str] = ()) -> GroundingModel:
        """The composed model of a folder, a hub id ``owner/name`` or a recipe, on the CPU.

        `grounding_core.load` also takes whole models, and a GPU where there is one.

        Raises:
            RecipeError: the recipe names a whole model instead of parts, or does not fit together.
            CheckpointError: weights are missing or do not fit.
        """
        recipe = Recipe.load(source, overrides)
        if recipe.model is not None:
            raise RecipeError(
                str(source), [("model", "is a whole model, not one of parts; use grounding_core.load")]
            )
        return build_composed(plan(recipe))

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        licence: str = "",
        datasets: Sequence[str] = (),
        report: str | Path | None = None,
    ) -> Path:
        """Write the model as a folder: `grounding_core.pretrained.save_pretrained`."""
        from grounding_core.pretrained import save_pretrained

        return save_pretrained(self, folder, licence=licence, datasets=datasets, report=report)

    def push_to_hub(
        self,
        repo: str,
        *,
        private: bool | None = None,
        licence: str = "",
        datasets: Sequence[str] = (),
        report: str | Path | None = None,
    ) -> str:
        """Save the model and upload it; see `grounding_core.pretrained.push_folder`."""
        from grounding_core.pretrained import push_folder

        with TemporaryDirectory() as folder:
            self.save_pretrained(folder, licence=licence, datasets=datasets, report=report)
            return push_folder(folder, repo, private=private)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    # ---- encode once -----------------------------------------------------------------------------

    def select_with(self, selector: FrameSelector) -> None:
        """Choose the frames for the encoders in another way; the selector is no part of the weights."""
        self._selection = (selector,)

    @property
    def selects_by_query(self) -> bool:
        """Whether the frames that the encoders see depend on the question."""
        return self._selection[0].uses_query

    @torch.inference_mode()
    def encode(self, video: Video | str | Path, query: Query | None = None) -> Context:
        """Read a video once; all its questions share the result.

        Args:
            video: what to read.
            query: for a model that selects frames by the question; without it they are evenly spread.

        Raises:
            VideoError: it can't be read.
        """
        video = video if isinstance(video, Video) else Video.open(video)
        with stage("decode"):
            sampled = self._selection[0].select(video, query, self.sampling.frames)
            frames = torch.from_numpy(video.frames(sampled))
        prefix, visual = self.read([frames], single_image=len(video) == 1)
        return Context(video, prefix, visual, self.mask_decoder.open(video), sampled)

    def read(self, clips: Sequence[Tensor], *, single_image: bool = False) -> tuple[Prefix, Tensor]:
        """System text and visual tokens of b videos, read into the language model; and those tokens."""
        if clips:
            with stage("encode"):
                visual = self.visual_tokens(clips, single_image=single_image)
        else:
            visual = torch.zeros(1, 0, self.plan.specs["language_model"].width).to(self.device)
        return self.read_tokens(visual), visual

    def read_tokens(self, visual: Tensor) -> Prefix:
        """System text and visual tokens (b, m, dl) of b videos, read into the language model."""
        lm = self.language_model
        text = [*lm.start_ids, *lm.tokenize(self.prompts.layout.partition(VISUAL)[0])]
        with stage("prefill"):
            return lm.prefix([text, visual] if visual.shape[1] else [text])

    def visual_tokens(self, clips: Sequence[Tensor], *, single_image: bool = False) -> Tensor:
        """Visual tokens (b, m, dl) of b clips: the image branch's, then the video branch's."""
        image_only = single_image and self.sampling.single_image == "image_branch"
        if image_only:
            clips = [clip[:1] for clip in clips]
        tokens = []
        if self.image_encoder is not None and self.image_adapter is not None:
            tokens.append(self.image_adapter(_like(self.image_encoder(clips), self.image_adapter)))
        if self.video_encoder is not None and self.video_adapter is not None and not image_only:
            tokens.append(self.video_adapter(_like(self.video_encoder(clips), self.video_adapter)))
        if self.sampling.fusion == "concat" or len(tokens) == 1:
            return torch.cat(tokens, dim=1)
        image, video = tokens
        # Frames that the video encoder sees as one: the image branch's are averaged.
        stride = image.shape[1] // video.shape[1]
        places = self.plan.visual_tokens["image"] // self.sampling.frames
        spread = image.reshape(len(image), -1, stride, places, image.shape[-1]).mean(2)
        fused: Tensor = spread.flatten(1, 2) + video
        return fused

    # ---- ask many --------------------------------------------------------------------------------

    @overload  # a text is a sequence of texts to mypy
    def ground(  # type: ignore[overload-overlap]
        self,
        context: Context | Video | str | Path,
        queries: str | Query,
        *,
        history: Sequence[Turn] = (),
        told: Watch | None = None,
    ) -> GroundedText: ...
    @overload
    def ground(
        self,
        context: Context | Video | str | Path,
        queries: Sequence[str | Query],
        *,
        history: Sequence[Turn] = (),
        told: Watch | None = None,
    ) -> list[GroundedText]: ...

    @torch.inference_mode()
    def ground(
        self,
        context: Context | Video | str | Path,
        queries: str | Query | Sequence[str | Query],
        *,
        history: Sequence[Turn] = (),
        told: Watch | None = None,
    ) -> GroundedText | list[GroundedText]:
        """Answer one question, or several that decode together.

        Args:
            context: from `encode`; a video or path is encoded first.
            queries: a text means ``Query(text, "refer")``, alone or in a sequence.
            history: earlier turns of the conversation, oldest first; read where ``prompts.turn`` words them.
            told: is told of each answer while it is written, where the language model can do that;
                masks come when the text is complete.

        Returns:
            One answer for one query, a list for a sequence.

        Raises:
            QueryError: a question is empty, or too long for the context.
            VideoError: the video can't be read.
        """
        if isinstance(queries, (str, Query)):
            one = Query(queries) if isinstance(queries, str) else queries
            if not isinstance(context, Context):
                context = self.encode(context, one)
            return self._answer(context, [one], history, told)[0]
        asked = [Query(each) if isinstance(each, str) else each for each in queries]
        if not isinstance(context, Context):
            if self.selects_by_query:
                return [self._alone(context, row, query, history, told) for row, query in enumerate(asked)]
            context = self.encode(context)
        return self._answer(context, asked, history, told)

    def _alone(
        self,
        video: Video | str | Path,
        row: int,
        query: Query,
        history: Sequence[Turn],
        told: Watch | None,
    ) -> GroundedText:
        """One of several questions, each of which chooses its own frames."""
        watch = None if told is None else lambda _, marked: told(row, marked)
        return self._answer(self.encode(video, query), [query], history, watch)[0]

    def _answer(
        self, context: Context, queries: Sequence[Query], history: Sequence[Turn], told: Watch | None
    ) -> list[GroundedText]:
        started = time.perf_counter()
        said = say(self, context.prefix, queries, history, told)
        with stage("masks"):
            tracks = self._tracks(context, torch.cat([one.states for one in said])) if said else []
        answers = []
        for one in said:
            marked = parse(one.markup, seg=self.seg.token)
            mine = [
                MaskTrack(id=i, size=track.size, frames=track.frames)
                for i, track in enumerate(tracks[: len(one.states)])
            ]
            tracks = tracks[len(one.states) :]
            meta = {
                "markup": one.markup,
                "truncated": one.truncated,
                "seconds": time.perf_counter() - started,
                "sampled_frames": list(context.sampled),
            }
            answers.append(GroundedText(marked.text, marked.spans, tuple(mine), meta, context.video))
        return answers

    def question(self, query: Query, history: Sequence[Turn] = ()) -> str:
        """What follows the visual tokens: earlier turns, the question in its template, the answer's start."""
        before, _, after = self.prompts.layout.partition(VISUAL)[2].partition(QUESTION)
        turn = self.prompts.turn
        past = "".join(asked + turn.replace("{answer}", answer) for asked, answer in history if turn)
        return before + past + self.prompts.question(query.kind, query.text) + after

    def mask_prompts(self, states: Tensor, visual: Tensor) -> Tensor:
        """Prompts (k, p, dp) for the mask decoder.

        Args:
            states: (k, dl) behind k objects.
            visual: (k, m, dl) visual tokens of the video each object is in.
        """
        adapter = self.prompt_adapter
        seen = (_like(visual, adapter),) if adapter.sees_frames else ()
        return _like(adapter(_like(states, adapter), *seen), self.mask_decoder)

    @torch.inference_mode()
    def stream(
        self,
        frames: Iterable[Any],
        query: str | Query,
        *,
        every: int = 32,
        window: int = 64,
        drop: bool = False,
    ) -> Iterator[Step]:
        """Masks frame by frame as frames arrive: from a camera, a pipe, a file.

        The question is asked at the first frame and again every ``every`` frames, each time about the frames
        of the last ``window``; in between the masks follow. So a step waits at most for one answer and one
        frame's masks, however long the stream lasts, and memory does not grow.

        Args:
            frames: uint8 RGB (H, W, 3) each, all of one size; may be endless.
            query: a text means ``Query(text, "refer")``.
            every: frames from one asking to the next.
            window: frames that the encoders' sample is drawn from.
            drop: take only the newest frame, and drop those that came while the model was busy: for cameras.

        Raises:
            VideoError: something else than such a frame comes.
            QueryError: the question is empty or too long.
        """
        asked = Query(query) if isinstance(query, str) else query
        live = LiveAnswers(self, asked, every=every, window=window)
        for arrival in arrivals(frames, drop=drop):
            yield live.step(arrival)

    def point(self, video: Video, query: Query) -> tuple[GroundedText, Tensor]:
        """An answer whose tracks are still empty, and the mask prompts (k, p, dp) behind them."""
        context = self.encode(video, query)
        (said,) = say(self, context.prefix, [query])
        marked = parse(said.markup, seg=self.seg.token)
        prompts = self.mask_prompts(said.states, context.visual.expand(len(said.states), -1, -1))
        tracks = tuple(MaskTrack(i, video.size, ()) for i in range(len(said.states)))
        return GroundedText(marked.text, marked.spans, tracks), prompts

    def _tracks(self, context: Context, states: Tensor) -> list[MaskTrack]:
        if not len(states):
            return []
        prompts = self.mask_prompts(states, context.visual.expand(len(states), -1, -1))
        frames: list[list[bytes | None]] = [[] for _ in range(len(states))]
        for logits in self.mask_decoder.track(context.scene, prompts):
            for row, mask in zip(frames, (logits > 0).cpu().numpy(), strict=True):
                row.append(encode(mask))
        size = context.video.size
        return [MaskTrack(id=i, size=size, frames=tuple(row)) for i, row in enumerate(frames)]

    # ---- training --------------------------------------------------------------------------------

    def forward(self, batch: Batch, *, masks: bool = True) -> Outputs:
        """Token and mask logits of a training batch, with gradients, through the same shared prefix.

        Args:
            batch: what to read.
            masks: False leaves the mask decoder out.
        """
        objects, own = zip(*batch.kinds(), strict=True)
        read = [self._teach(one) for one in own]
        prompts = torch.cat([prompts for *_, prompts in read])[torch.cat(objects).argsort()]
        found = prompts.new_zeros((0, 0, 0, 0)), prompts.new_zeros((0, 0))
        if masks:
            found = self.mask_decoder(batch.mask_frames, prompts, batch.rows[batch.seg[:, 0]])
        tokens, targets = (torch.cat(part) for part in list(zip(*read, strict=True))[:2])
        return Outputs(tokens, targets, prompts, *found)

    def _teach(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Token logits, their targets, and mask prompts of a batch that holds videos or images, not both."""
        if batch.visual:
            visual = torch.stack(list(batch.visual))
            prefix = self.read_tokens(visual)
        else:
            prefix, visual = self.read(batch.clips, single_image=bool(batch.stills) and batch.stills[0])
        rows = batch.rows if prefix.rows > 1 else torch.zeros_like(batch.rows)
        tokens, targets, states = [], [], []
        for group in batch.buckets():
            longest = int(batch.lengths[group].max())
            ids, learned = batch.ids[group, :longest], batch.learned[group, :longest]
            logits, state = self.language_model.teach(prefix, rows[group], ids, learned)
            tokens.append(logits)
            targets.append(ids[learned])
            own = torch.isin(batch.seg[:, 0], group)
            place = (batch.seg[own, 0][:, None] == group).int().argmax(1)
            states.append((own.nonzero()[:, 0], state[place, batch.seg[own, 1]]))
        order = torch.cat([index for index, _ in states]).argsort()
        prompts = self.mask_prompts(
            torch.cat([state for _, state in states])[order], visual[rows[batch.seg[:, 0]]]
        )
        return torch.cat(tokens), torch.cat(targets), prompts

    def fingerprint(self) -> dict[str, str]:
        """What must be equal for two runs to give the same predictions."""
        recipe = self.plan.recipe
        facts = {"recipe": recipe.name, "recipe_hash": recipe.fingerprint()}
        if recipe.checkpoint is not None:
            facts["checkpoint"] = digest(recipe.checkpoint)
        for package in ("grounding-core", "torch", "transformers"):
            facts[package] = version(package)
        return facts


def _like(values: Tensor, part: nn.Module) -> Tensor:
    """Values in the number type of a part's weights; parts may differ in it."""
    weight = next(part.parameters(), None)
    return values if weight is None else values.to(weight.dtype)
