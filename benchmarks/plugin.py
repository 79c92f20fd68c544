"""What the benchmarks offer to the plugin system: tasks, and readers of public data sets."""

from __future__ import annotations

from grounding_core.hookspecs import Entry, hookimpl


@hookimpl
def grounding_entries() -> list[Entry]:
    """Tasks and data set readers."""
    return [
        Entry(
            "task",
            "gcg",
            "benchmarks.tasks.gcg:GroundedCaptions",
            summary="caption a video, mask each phrase",
        ),
        Entry(
            "task",
            "grounding",
            "benchmarks.tasks.grounding:Grounding",
            summary="find a statement in space and time",
        ),
        Entry(
            "task",
            "refseg",
            "benchmarks.tasks.refseg:ReferringSegmentation",
            summary="mask what an expression names",
        ),
        Entry("dataset", "mevis", "benchmarks.datasets.mevis:MeViS", summary="refseg; motion expressions"),
        Entry(
            "dataset",
            "vidstg",
            "benchmarks.datasets.vidstg:VidSTG",
            summary="grounding; statements and questions",
        ),
        Entry(
            "dataset",
            "video_gcg",
            "benchmarks.datasets.video_gcg:VideoGCG",
            summary="gcg; BURST and YTVIS captions",
        ),
    ]
