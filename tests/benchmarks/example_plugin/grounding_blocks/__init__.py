"""A plugin that brings a data set, a task, a metric of another's task, and a text similarity."""

from grounding_core.hookspecs import Entry, hookimpl


@hookimpl
def grounding_entries():
    return [
        Entry("dataset", "blocks", "grounding_blocks.data:Blocks", summary="one block a video"),
        Entry("task", "count", "grounding_blocks.judges:Count", summary="how many objects move"),
        Entry("metric", "centre-distance", "grounding_blocks.judges:CentreDistance"),
        Entry("text_similarity", "first-letter", "grounding_blocks.judges:FirstLetter"),
    ]
