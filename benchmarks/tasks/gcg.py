"""Grounded conversation generation: a caption of the whole video whose phrases carry masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from benchmarks.metrics import gcg
from benchmarks.metrics.captions import CaptionScorer, meteor_counts, meteor_score
from benchmarks.metrics.clair import Clair
from benchmarks.metrics.text_similarity import TextSimilarity, TokenF1
from benchmarks.stats import Measure
from benchmarks.tasks.base import Counts, Judgement, Task, TextPair, fitting
from grounding_core.errors import GroundingError
from grounding_core.interfaces.dataset import Truth
from grounding_core.masks import MaskTrack, unite
from grounding_core.types import GroundedText

FloatArray = npt.NDArray[np.float64]


class GroundedCaptions(Task):
    """Mask mIoU, recall of phrases with masks, METEOR, CIDEr; CLAIR where an endpoint is configured."""

    name: ClassVar[str] = "gcg"
    title: ClassVar[str] = "Grounded caption generation"
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
        Measure("meteor", "METEOR", "METEOR 1.5 of the corpus", finish=meteor_score),
        Measure("cider", "CIDEr", "CIDEr-D, document frequencies from this corpus", percent=False),
        Measure("clair", "CLAIR", "a language model rates candidate against reference", brief=False),
    )

    def __init__(self, workspace: Path) -> None:
        super().__init__(workspace)
        self.similarity: TextSimilarity = TokenF1()
        self.protocol["text similarity"] = f"{self.similarity.name} (offline; official: BERT cosine)"

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
        """METEOR and CIDEr of each predictor's captions; CLAIR of the first predictor's, the model's."""
        found: dict[str, dict[str, FloatArray]] = {name: {} for name in texts}
        try:
            self._words(texts, found)
        except GroundingError as error:
            self.notes.append(f"METEOR and CIDEr were not computed: {error}")
        clair = Clair.from_environment(self.workspace / "clair.json")
        if clair is not None and texts:
            model = next(iter(texts))
            scores = np.array(
                [clair.score(candidate, reference).score for candidate, reference in texts[model]]
            )
            found[model]["clair"] = np.stack([scores, np.ones(len(scores))], axis=1)
            self.protocol["CLAIR"] = clair.model
        return found

    def _words(
        self, texts: Mapping[str, Sequence[TextPair]], found: dict[str, dict[str, FloatArray]]
    ) -> None:
        scorer = CaptionScorer(self.workspace / "meteor.json")
        flat = [(candidate, (reference,)) for pairs in texts.values() for candidate, reference in pairs]
        pairs = scorer.prepare(flat)
        meteor = meteor_counts(scorer.meteor_statistics(pairs))
        start = 0
        for name, given in texts.items():
            own = slice(start, start + len(given))
            cider = scorer.cider(pairs[own])
            found[name]["meteor"] = meteor[own]
            found[name]["cider"] = np.stack([cider, np.ones(len(cider))], axis=1)
            start += len(given)


def _phrases(caption: GroundedText) -> tuple[list[str], list[MaskTrack]]:
    """Phrases and the union of each one's tracks; a phrase without tracks has no mask and is left out."""
    by_id = {track.id: track for track in caption.tracks}
    spans = [span for span in caption.spans if span.tracks]
    masks = [unite([by_id[id] for id in span.tracks], id=index) for index, span in enumerate(spans)]
    return [caption.phrase(span) for span in spans], masks
