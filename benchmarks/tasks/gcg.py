"""Grounded conversation generation: a caption of the whole video whose phrases carry masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from benchmarks.metrics import gcg, meteor
from benchmarks.metrics.captions import (
    BLEU_ORDERS,
    CaptionScorer,
    bleu_counts,
    bleu_score,
    cider,
    prepare,
    rouge_l,
)
from benchmarks.metrics.clair import SAMPLING, Clair
from benchmarks.metrics.endpoint import Endpoint
from benchmarks.metrics.text_similarity import DEFAULT, Bert, load_similarity
from benchmarks.stats import Measure
from benchmarks.tasks.base import Counts, Judgement, Task, TextPair, fitting
from grounding_core.errors import GroundingError
from grounding_core.interfaces.dataset import Truth
from grounding_core.masks import MaskTrack, unite
from grounding_core.types import GroundedText

FloatArray = npt.NDArray[np.float64]


def _bleu(order: int, counts: FloatArray) -> FloatArray:
    return np.asarray(bleu_score(counts)[..., order - 1])


class GroundedCaptions(Task):
    """Mask mIoU, recall of phrases with masks, word metrics; CLAIR where an endpoint is configured."""

    name: ClassVar[str] = "gcg"
    title: ClassVar[str] = "Grounded conversation generation"
    headline: ClassVar[str] = "miou"
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("miou", "mIoU", "tube IoU of greedy pairs; unmatched objects on either side count as 0"),
        Measure("miou_official", "mIoU official", "as VideoGLaMM: mean over matched pairs only"),
        Measure("recall", "recall", "share of true phrases matched with IoU >= 0.5 and similar words"),
        Measure(
            "recall_official",
            "recall official",
            "as VideoGLaMM: stops at the first best pair that misses a threshold",
            brief=False,
        ),
        Measure("meteor", "METEOR", "METEOR 1.5 of the corpus", finish=meteor.score),
        Measure("cider", "CIDEr", "CIDEr-D, document frequencies from this corpus", percent=False),
        Measure("clair", "CLAIR", "a language model rates candidate against reference", brief=False),
        *(
            Measure(
                f"bleu{order}",
                f"BLEU-{order}",
                f"BLEU-{order} of the corpus, closest reference length",
                finish=partial(_bleu, order),
                brief=False,
            )
            for order in range(1, BLEU_ORDERS + 1)
        ),
        Measure("rouge_l", "ROUGE-L", "longest common subsequence, beta 1.2, mean of captions", brief=False),
    )

    def __init__(self, workspace: Path, text_similarity: str = DEFAULT) -> None:
        super().__init__(workspace, text_similarity)
        self.similarity = load_similarity(text_similarity)
        official = "" if self.similarity.name == Bert.name else f"; official: {Bert.OFFICIAL}, cosine"
        self.protocol["text similarity"] = f"{self.similarity.described}{official}"
        self.rests_on = {key: "text similarity" for key in ("recall", "recall_official")} | {"clair": "CLAIR"}

    def judge(self, answer: GroundedText | None, truth: Truth) -> Judgement:
        """Each phrase of the answer, with the union of its tracks, against each true phrase."""
        if truth.caption is None:
            raise GroundingError("The truth of a gcg sample has no caption.", "Check the data set's reader.")
        expected, true_masks = _phrases(truth.caption)
        counts: Counts = {
            "miou": (0.0, 1.0),
            "miou_official": (0.0, 1.0),
            "recall": (0.0, float(len(expected))),
            "recall_official": (0.0, float(len(expected))),
        }
        if answer is None:
            return Judgement(counts, ("", truth.caption.text))
        if true_masks:
            fitting(answer.tracks, true_masks[0])
        phrases, masks = _phrases(answer)
        ious = gcg.iou_matrix(masks, true_masks, truth.annotated)
        words = self.similarity.matrix(expected, phrases)
        found = len(expected)
        counts["miou"] = gcg.miou_corrected(ious), 1.0
        counts["miou_official"] = gcg.miou_official(ious), 1.0
        counts["recall"] = float(len(gcg.matches_corrected(ious.T, words))), float(found)
        counts["recall_official"] = float(len(gcg.matches_official(ious.T, words))), float(found)
        return Judgement(counts, (answer.text, truth.caption.text))

    def judge_texts(self, texts: Mapping[str, Sequence[TextPair]]) -> Mapping[str, Mapping[str, FloatArray]]:
        """Word metrics of each predictor's captions; CLAIR of the first predictor's, the model's."""
        found: dict[str, dict[str, FloatArray]] = {name: {} for name in texts}
        try:
            self._words(texts, found)
        except GroundingError as error:
            self.notes.append(f"BLEU, METEOR, ROUGE-L and CIDEr were not computed: {error}")
        if texts:
            model = next(iter(texts))
            try:
                found[model] |= self._clair(texts[model])
            except GroundingError as error:
                self.notes.append(f"CLAIR was not computed: {error}")
        return found

    def _words(
        self, texts: Mapping[str, Sequence[TextPair]], found: dict[str, dict[str, FloatArray]]
    ) -> None:
        scorer = CaptionScorer(self.workspace / "meteor.json")
        flat = [(candidate, (reference,)) for pairs in texts.values() for candidate, reference in pairs]
        pairs = prepare(flat)
        # All predictors at once: METEOR takes seconds to read its tables.
        counts = meteor.counts(scorer.meteor_statistics(pairs))
        start = 0
        for name, given in texts.items():
            own = slice(start, start + len(given))
            start += len(given)
            bleu = bleu_counts(pairs[own])
            found[name] |= {f"bleu{order}": bleu for order in range(1, BLEU_ORDERS + 1)}
            found[name]["meteor"] = counts[own]
            found[name]["rouge_l"] = _each(rouge_l(pairs[own]))
            found[name]["cider"] = _each(cider(pairs[own]))

    def _clair(self, pairs: Sequence[TextPair]) -> dict[str, FloatArray]:
        endpoint = Endpoint.from_environment()
        if endpoint is None:
            self.notes.append("CLAIR was not computed: OPENAI_BASE_URL and CLAIR_MODEL name no endpoint.")
            return {}
        clair = Clair(endpoint, self.workspace)
        scores = clair.scores(pairs)
        cost, usage = endpoint.cost(clair.usage), clair.usage
        price = "" if cost is None else f", cost {cost:.4f}"
        self.protocol["CLAIR"] = (
            f"{endpoint.model}, {SAMPLING['max_tokens']} tokens at temperature {SAMPLING['temperature']}"
        )
        # By itself: the same judge may have been asked less, where answers were kept.
        self.protocol["CLAIR calls"] = (
            f"{usage.calls} calls, {usage.prompt_tokens} + {usage.reply_tokens} tokens{price}"
        )
        return {"clair": _each(np.asarray(scores, dtype=np.float64))}


def _each(values: FloatArray) -> FloatArray:
    """Counts (n, 2) of a mean over captions."""
    return np.stack([values, np.ones(len(values))], axis=1)


def _phrases(caption: GroundedText) -> tuple[list[str], list[MaskTrack]]:
    """Phrases and the union of each one's tracks; a phrase without tracks has no mask and is left out."""
    by_id = {track.id: track for track in caption.tracks}
    spans = [span for span in caption.spans if span.tracks]
    masks = [unite([by_id[id] for id in span.tracks], id=index) for index, span in enumerate(spans)]
    return [caption.phrase(span) for span in spans], masks
