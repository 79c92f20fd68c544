"""SAM 3's tracker (arXiv 2511.16719) as mask decoder: SAM 2's on SAM 3's image encoder."""

from __future__ import annotations

from transformers import Sam3TrackerVideoConfig, Sam3TrackerVideoModel

from grounding_sam.weights import PublishedTracker

HALF = (0.5, 0.5, 0.5)


class Sam3Decoder(PublishedTracker):
    """SAM 3's tracker whose sparse prompt is an embedding, a box, points or a mask."""

    networks = (Sam3TrackerVideoConfig, Sam3TrackerVideoModel)
    what = "SAM 3 weights"
    mean, std = HALF, HALF
