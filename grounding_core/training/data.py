"""Which videos each step sees: filtered, mixed by weight, ordered by the seed, sharded by process."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.utils.data import Sampler

from grounding_core.errors import DataError, VideoError
from grounding_core.interfaces.dataset import Sample
from grounding_core.training.config import TrainConfig

Position = tuple[int, int]
"""(epoch, index of the video)."""

Sources = Mapping[tuple[str, str], Sequence[Sample]]
"""(data set, task) -> its training samples."""


@dataclass(frozen=True)
class Pool:
    """Videos to learn from.

    Attributes:
        groups: the samples of each video; all share its encoding.
        shares: (first, end, weight) of each data set's run of videos; weights add up to 1.
    """

    groups: Sequence[Sequence[Sample]]
    shares: Sequence[tuple[int, int, float]]


FileIds = dict[str, tuple[int, int] | str]
"""Video id -> what is the same for names of one file."""


def pool(sources: Sources, config: TrainConfig, files: dict[str, FileIds] | None = None) -> Pool:
    """What a stage learns from.

    Args:
        sources: all samples.
        config: of the stage.
        files: of each data set, known from earlier stages; what is not is looked up and added.

    Raises:
        DataError: nothing is left, or the mixture names a data set that has no samples.
    """
    kept: dict[str, list[Sample]] = {}
    scores = {} if config.audit is None else _audit_scores(Path(config.audit), sources)
    for (name, task), samples in sources.items():
        if config.tasks is None or task in config.tasks:
            known = scores.get(f"{name}/{task}", {})
            good = (s for s in samples if s.id not in known or known[s.id] < config.max_audit)
            kept.setdefault(name, []).extend(sample for sample in good if _wanted(sample, config))
    kept = {name: samples for name, samples in kept.items() if samples}
    if not kept:
        raise DataError(
            f"There are no training samples for the stage {config.name!r}.",
            "Name data sets that have masks (refseg or gcg), and check its tasks and kinds.",
        )
    weights = config.mixture if config.mixture is not None else dict.fromkeys(kept, 1.0)
    unknown = [name for name in weights if name not in kept]
    if unknown:
        raise DataError(
            f"training.mixture names {', '.join(unknown)}, which has no samples for stage {config.name!r}.",
            f"Those that have: {', '.join(kept)}; add others with --data.",
        )
    groups: list[list[Sample]] = []
    runs: list[tuple[int, int, float]] = []
    for name, weight in weights.items():
        first = len(groups)
        groups += by_video(kept[name], {} if files is None else files.setdefault(name, {}))
        size = len(groups) - first
        runs.append((first, len(groups), weight if config.mixture is not None else size))
    total = sum(weight for *_, weight in runs)
    return Pool(groups, [(first, end, weight / total) for first, end, weight in runs])


def _audit_scores(path: Path, sources: Sources) -> dict[str, dict[str, float]]:
    """``<data set>/<task>`` -> sample id -> score; samples that were not audited are not in it."""
    remedy = "Name the scores.json that `grounding data audit` wrote for the data sets trained on."
    try:
        scores = json.loads(path.read_text(encoding="utf-8"))
        found = {key: {str(id): float(score) for id, score in known.items()} for key, known in scores.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"training.audit: {path} can't be read: {error}.", remedy) from error
    if not any(f"{name}/{task}" in found for name, task in sources):
        raise DataError(f"training.audit: {path} knows none of the data sets ({', '.join(found)}).", remedy)
    return found


def _wanted(sample: Sample, config: TrainConfig) -> bool:
    if sample.query.kind == "describe":
        return True
    if config.objective in ("words", "aligned", "prompts"):
        return False
    return config.kinds is None or sample.tags.get("kind") in config.kinds


def by_video(samples: Sequence[Sample], files: FileIds | None = None) -> list[list[Sample]]:
    """Samples grouped by video, in order of first appearance.

    Data sets of several tasks name one file differently (hard links): the file itself tells, for which
    videos that are not in ``files`` are opened.
    """
    keys = {} if files is None else files
    groups: dict[tuple[int, int] | str, list[Sample]] = {}
    for sample in samples:
        if sample.video_id not in keys:
            keys[sample.video_id] = _file_of(sample)
        groups.setdefault(keys[sample.video_id], []).append(sample)
    return list(groups.values())


def _file_of(sample: Sample) -> tuple[int, int] | str:
    """Device and inode of a sample's video; its id where it is no file, or where it will fail to decode."""
    try:
        path = Path(sample.open_video().source)
    except VideoError:
        return sample.video_id
    if not path.is_file():
        return sample.video_id
    stat = path.stat()
    return stat.st_dev, stat.st_ino


class Schedule(Sampler[list[Position]]):
    """Positions of batch after batch, without end: every data set in a new order each of its epochs.

    Depends on the seed and the batch's number alone, so that a run resumes exactly and processes agree.
    ``start`` is the number of the first.
    """

    def __init__(
        self, found: Pool, config: TrainConfig, *, start: int, rank: int = 0, world: int = 1
    ) -> None:
        self.pool, self.config, self.start, self.rank, self.world = found, config, start, rank, world

    def __iter__(self) -> Iterator[list[Position]]:
        each = self.config.videos * self.world
        chance = np.random.default_rng((self.config.seed, 1))
        weights = [weight for *_, weight in self.pool.shares]
        drawn = [0] * len(weights)
        orders = [(-1, np.empty(0, dtype=np.int64))] * len(weights)
        for number in itertools.count():
            batch = []
            for source in chance.choice(len(weights), size=each, p=weights):
                first, end, _ = self.pool.shares[source]
                epoch, place = divmod(drawn[source], end - first)
                drawn[source] += 1
                if orders[source][0] != epoch:
                    order = np.random.default_rng((self.config.seed, 2, int(source), epoch))
                    orders[source] = epoch, order.permutation(end - first)
                batch.append((epoch, first + int(orders[source][1][place])))
            if number >= self.start:
                yield batch[self.rank :: self.world]
