"""A task, a metric and a text similarity."""

import numpy as np

from benchmarks.metrics.text_similarity import TextSimilarity
from benchmarks.stats import Measure
from benchmarks.tasks.base import Judgement, Metric, Task


class Count(Task):
    name = "count"
    title = "Counting"
    headline = "right"
    measures = (Measure("right", "right", "share of samples with as many tracks as the truth"),)

    def judge(self, answer, truth):
        right = answer is not None and len(answer.tracks) == len(truth.tracks)
        return Judgement({"right": (float(right), 1.0)})


class CentreDistance(Metric):
    task = "refseg"
    measures = (Measure("centre", "centre px", "mean distance of box centres", percent=False),)

    def judge(self, answer, truth):
        if answer is None or not answer.tracks:
            return {"centre": (0.0, 0.0)}
        pairs = [(answer.tracks[0].box(i), truth.tracks[0].box(i)) for i in range(len(truth.tracks[0]))]
        far = [np.hypot(*(np.add(a[:2], a[2:]) - np.add(b[:2], b[2:])) / 2) for a, b in pairs if a and b]
        return {"centre": (float(sum(far)), float(len(far)))}


class FirstLetter(TextSimilarity):
    name = "first-letter"

    def matrix(self, first, second):
        return np.array([[float(a[:1] == b[:1]) for b in second] for a in first]).reshape(
            len(first), len(second)
        )
