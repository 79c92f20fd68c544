"""ActivityNet-Entities GCG: ten frames of a segment, masks in one of them, numbered [SEG:n] in captions."""

from pathlib import Path

import numpy as np
from PIL import Image

from .scene import box_mask, dump, write_frames

ANNOTATED = 3
CAPTION = "<p> A red box </p> [SEG:1] passes a <p> square </p> [SEG:0]. <p> It </p> [SEG:1] moves on."


def write(root: Path) -> None:
    """One segment, whose video's name holds underscores."""
    base = root / "activitynet_entities_gcg"
    write_frames(base / "video_frames/v_ab__c/4", 0, [f"{frame:02d}" for frame in range(10)])
    boxes = {
        f"[SEG:{number}]": {"bbox": [0, 0, 9, 9], "frame_id": ANNOTATED, "process_idx": [number], "crowds": 0}
        for number in (0, 1)
    }
    dump(
        base / "anns/v_ab__c____4.json",
        {"video_id": "v_ab__c", "segment_id": "4", "refined_caption": CAPTION, "seg_token_to_obj": boxes},
    )
    for number, thing in ((0, 1), (1, 0)):
        path = base / f"masks/v_ab__c____4/{number:02d}/mask.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(box_mask(0, ANNOTATED, thing).astype(np.uint8) * 255).save(path)
