"""Annotating on a Ray cluster: a worker takes a video; what it loses is done again by another.

The output folder is shared by all machines: each writes the outcomes and frames of its own videos there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.annotate.pipeline import AnnotateConfig, Worker
from benchmarks.annotate.sources import find
from benchmarks.annotate.steps import Where
from benchmarks.ray_engine import PATIENCE, raise_cause, session
from grounding_core.errors import GroundingError


@dataclass(frozen=True)
class Cluster:
    """Workers that annotate the videos of one source.

    Attributes:
        source: as the user named it.
        where: where to look.
        config: how, with the object source.
        out: data root to write below, an absolute path that every machine sees.
        split: name of the split.
        address: of a running cluster; None starts one on this machine.
        workers: how many; None: as many as there are GPUs, or CPUs where there is none.
    """

    source: str
    where: Where
    config: AnnotateConfig
    out: Path
    split: str
    address: str | None = None
    workers: int | None = None

    def outcomes(self, ids: Sequence[str]) -> Iterator[None]:
        """Make the outcome of each item; yields as they are done, in any order.

        Raises:
            GroundingError: as on one machine; or a machine does not see the output folder.
        """
        with session(self.address) as ray:
            resources = ray.cluster_resources()
            gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
            size = min(self.workers or gpus or cpus, len(ids))
            needs: dict[str, Any] = {"num_gpus": 1} if gpus else {"num_cpus": 1}
            # Ray starts a worker that died anew, and gives it the item in hand again.
            actor = ray.remote(max_restarts=PATIENCE, max_task_retries=PATIENCE, **needs)(Remote)
            pool = ray.util.ActorPool([actor.remote(self) for _ in range(max(size, 1))])
            try:
                for _ in pool.map_unordered(lambda worker, id: worker.outcome.remote(id), list(ids)):
                    yield
            except ray.exceptions.RayError as error:
                raise_cause(error)
                raise GroundingError(
                    f"{PATIENCE} workers died one after another: {str(error).splitlines()[0]}.",
                    "Give them more memory, and run the same command again to go on.",
                ) from error


class Remote:
    """A worker; lives in a process of the cluster."""

    def __init__(self, cluster: Cluster) -> None:
        if not (cluster.out / ".lock").is_file():
            raise GroundingError(
                f"A machine of the cluster does not see {cluster.out}.",
                "Name a folder with --out that all of them share.",
            )
        _, source = find(cluster.source, cluster.config.objects, cluster.where)
        self._items = dict(zip(source.ids, source.items, strict=True))
        self._worker = Worker(source.name, cluster.config, cluster.out, cluster.split)

    def outcome(self, id: str) -> None:
        """Make the outcome of an item."""
        self._worker.outcome(id, self._items[id])
