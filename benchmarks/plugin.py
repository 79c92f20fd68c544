"""What the benchmarks offer to the plugin system: tasks, and readers of public data sets."""

from __future__ import annotations

from grounding_core.hookspecs import Entry, Kind, hookimpl

OPENCV = "pip install 'grounding-core[masks]'"
ANNOTATION: tuple[tuple[Kind, str, str, str, str], ...] = (
    (
        "object_source",
        "expressions",
        "annotate.sources.datasets:Expressions",
        "",
        "masks of a data set with expressions",
    ),
    (
        "object_source",
        "sentences",
        "annotate.sources.datasets:Sentences",
        "",
        "boxes of a data set with sentences",
    ),
    (
        "object_source",
        "classes",
        "annotate.sources.classes:Classes",
        "",
        "YouTube-VIS and BURST: masks or boxes",
    ),
    (
        "object_source",
        "entities",
        "annotate.sources.entities:Entities",
        "",
        "ActivityNet-Entities: a box for each noun of a sentence",
    ),
    (
        "object_source",
        "videos",
        "annotate.sources.videos:Videos",
        "",
        "plain videos, in which a recipe finds objects",
    ),
    ("mask_maker", "box", "annotate.masks:Filled", "", "the boxes themselves"),
    ("mask_maker", "decoder", "annotate.masks:Decoder", "", "a mask decoder, given the box of each frame"),
    (
        "mask_maker",
        "tracker",
        "annotate.masks:Tracker",
        "",
        "a mask decoder that follows the best box both ways",
    ),
    ("mask_maker", "grabcut", "annotate.grabcut:GrabCut", OPENCV, "by colour, without a model"),
    ("object_describer", "class", "annotate.writers:ClassName", "", "the class is enough"),
    (
        "object_describer",
        "measured",
        "annotate.measured:Measured",
        "",
        "class, colour and way, without a model",
    ),
    (
        "object_describer",
        "endpoint",
        "annotate.writers:EndpointWriter",
        "",
        "a model behind an endpoint, from crops",
    ),
    (
        "object_describer",
        "language_model",
        "annotate.writers:LanguageModelWriter",
        "",
        "a plugin's language model",
    ),
    ("composer", "list", "annotate.writers:Lister", "", "a sentence that lists the objects"),
    ("composer", "endpoint", "annotate.writers:EndpointWriter", "", "a model behind an endpoint"),
    ("composer", "language_model", "annotate.writers:LanguageModelWriter", "", "a plugin's language model"),
    ("questioner", "none", "annotate.questions:NoQuestions", "", "captions alone"),
    ("questioner", "masks", "annotate.questions:ByMasks", "", "what the masks themselves answer"),
    ("questioner", "endpoint", "annotate.questions:EndpointQuestions", "", "a model behind an endpoint"),
    (
        "questioner",
        "language_model",
        "annotate.questions:LanguageModelQuestions",
        "",
        "a plugin's language model",
    ),
    ("checker", "marks", "annotate.checking:Marks", "", "phrases point at objects, objects are mentioned"),
    (
        "checker",
        "fits",
        "annotate.checking:Fits",
        "",
        "and phrases fit what is seen, by an image–text component",
    ),
    ("image_text", "colour", "image_text:ByColour", "", "colour words against pixels, without a model"),
    ("image_text", "endpoint", "image_text:EndpointImageText", "", "a model behind an endpoint"),
    (
        "image_text",
        "visual_words",
        "visual_words:VisualWords",
        "",
        "a recipe's visual tokens against its embeddings of words",
    ),
    ("image_text", "recipe", "image_text:AskedRecipe", "", "any recipe: does its mask for the words fit?"),
)
"""Kind, name, target, hint, summary of the steps of annotating."""


@hookimpl
def grounding_entries() -> list[Entry]:
    """Tasks, data set readers, text similarities, the steps of annotating and a command."""
    return [
        Entry(
            "frame_selector",
            "uniform",
            "grounding_core.interfaces.frame_selector:Uniform",
            summary="evenly spread frames, the default",
        ),
        Entry(
            "model",
            "chunked",
            "grounding_core.chunked:Chunked",
            summary="another recipe's model on long videos, piece by piece",
        ),
        Entry(
            "command",
            "annotate",
            "benchmarks.annotate.cli:app",
            summary="make grounded captions and questions from masks, boxes, sentences or plain videos",
        ),
        *(
            Entry(kind, name, f"benchmarks.{target}", hint, summary)
            for kind, name, target, hint, summary in ANNOTATION
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
