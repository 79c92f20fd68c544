"""What the benchmarks offer to the plugin system: tasks, and readers of public data sets."""

from __future__ import annotations

from grounding_core.hookspecs import Entry, hookimpl


@hookimpl
def grounding_entries() -> list[Entry]:
    """Tasks, data set readers, text similarities and a command."""
    return [
        Entry(
            "command",
            "annotate",
            "benchmarks.annotate.cli:app",
            summary="make grounded captions from masks, boxes, class names and sentences",
        ),
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
        Entry(
            "text_similarity",
            "token-f1",
            "benchmarks.metrics.text_similarity:TokenF1",
            summary="words two phrases share; offline",
        ),
        Entry(
            "text_similarity",
            "bert",
            "benchmarks.metrics.text_similarity:Bert",
            summary="cosine of BERT-base-uncased, as VideoGLaMM; or bert:FOLDER",
        ),
        Entry("dataset", "mevis", "benchmarks.datasets.mevis:MeViS", summary="refseg; motion expressions"),
        Entry(
            "dataset",
            "ref-youtube-vos",
            "benchmarks.datasets.ref_youtube_vos:RefYouTubeVOS",
            summary="refseg; objects of YouTube-VOS",
        ),
        Entry(
            "dataset",
            "ref-davis17",
            "benchmarks.datasets.ref_davis:RefDAVIS17",
            summary="refseg; objects of DAVIS 2017, four annotators",
        ),
        Entry(
            "dataset",
            "revos",
            "benchmarks.datasets.revos:ReVOS",
            summary="refseg; referring, reasoning and unanswerable expressions",
        ),
        Entry(
            "dataset",
            "reason-vos",
            "benchmarks.datasets.reason_vos:ReasonVOS",
            summary="refseg; expressions that need reasoning",
        ),
        Entry(
            "dataset",
            "refcoco",
            "benchmarks.datasets.refcoco:RefCOCO",
            summary="refseg; objects in images",
        ),
        Entry(
            "dataset",
            "refcoco+",
            "benchmarks.datasets.refcoco:RefCOCOPlus",
            summary="refseg; objects in images, no words of place",
        ),
        Entry(
            "dataset",
            "refcocog",
            "benchmarks.datasets.refcoco:RefCOCOg",
            summary="refseg; objects in images, longer expressions",
        ),
        Entry(
            "dataset",
            "reason-seg",
            "benchmarks.datasets.reason_seg:ReasonSeg",
            summary="refseg; objects in images, questions that need reasoning",
        ),
        Entry(
            "dataset",
            "grandf",
            "benchmarks.datasets.grandf:GranDf",
            summary="gcg; captions of images",
        ),
        Entry(
            "dataset",
            "vidstg",
            "benchmarks.datasets.vidstg:VidSTG",
            summary="grounding; statements and questions",
        ),
        Entry(
            "dataset",
            "video-gcg",
            "benchmarks.datasets.video_gcg:VideoGCG",
            summary="gcg; BURST and YTVIS captions",
        ),
        Entry(
            "dataset",
            "hcstvg",
            "benchmarks.datasets.hcstvg:HCSTVG",
            summary="grounding; people in crowded scenes",
        ),
        Entry(
            "dataset",
            "mevis-gcg",
            "benchmarks.datasets.mevis_gcg:MeViSGCG",
            summary="gcg; captions of MeViS videos",
        ),
        Entry(
            "dataset",
            "vidstg-gcg",
            "benchmarks.datasets.tube_gcg:VidSTGGCG",
            summary="gcg; captions of VidSTG moments",
        ),
        Entry(
            "dataset",
            "hcstvg-gcg",
            "benchmarks.datasets.tube_gcg:HCSTVGGCG",
            summary="gcg; captions of HC-STVG moments",
        ),
        Entry(
            "dataset",
            "activitynet-gcg",
            "benchmarks.datasets.activitynet_gcg:ActivityNetGCG",
            summary="gcg; captions of ten frames, masks in one of them",
        ),
    ]
