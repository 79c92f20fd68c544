"""RefCOCO and its relatives: pickled expressions, COCO polygons and images."""

import pickle
from pathlib import Path

from PIL import Image

from .scene import SIZE, box_mask, dump, pixels, rle

IMAGE = "COCO_train2014_000000000007.jpg"
RIGHT_HALF = [32, 0, 64, 0, 64, 48, 32, 48]
"""A polygon: x from 32 to 64, all rows."""


def write(root: Path) -> None:
    """One image with a ref a split: of one polygon, of two, of RLE, of nothing."""
    images = root / "refer_seg/images/mscoco/images/train2014"
    images.mkdir(parents=True)
    Image.fromarray(pixels(0)[0]).save(images / IMAGE)
    top_left = [0, 0, 8, 0, 8, 6, 0, 6]
    segmentations = {
        1: [RIGHT_HALF],
        2: [RIGHT_HALF, top_left],
        3: rle(box_mask(0, 0, 0)),
        4: [],
    }
    objects = [{"id": id, "image_id": 7, "segmentation": it} for id, it in segmentations.items()]
    picture = {"id": 7, "file_name": IMAGE, "height": SIZE[0], "width": SIZE[1]}
    for folder, by, splits in (
        ("refcoco", "unc", ("train", "testA", "testAB", "val")),
        ("refcoco+", "unc", ("train", "testA", "testB", "val")),
        ("refcocog", "umd", ("train", "test", "val", "val")),
    ):
        home = root / "refer_seg" / folder
        refs = [_ref(id, split) for id, split in zip(segmentations, splits, strict=True)]
        dump(home / "instances.json", {"images": [picture], "annotations": objects, "categories": []})
        # The protocol of the published files.
        (home / f"refs({by}).p").write_bytes(pickle.dumps(refs, protocol=0))


def _ref(id: int, split: str) -> dict:
    sentences = [
        {"sent_id": 10 * id + place, "sent": text, "raw": text, "tokens": text.split()}
        for place, text in enumerate((f"thing {id}", f"the thing called {id}", "."))
    ]
    return {
        "ref_id": id, "ann_id": id, "image_id": 7, "category_id": 1, "split": split, "sentences": sentences,
        "sent_ids": [sentence["sent_id"] for sentence in sentences],
        "file_name": IMAGE.replace(".jpg", f"_{id}.jpg"),
    }  # fmt: skip
