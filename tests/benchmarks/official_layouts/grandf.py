"""GranD-f: four annotation files, each in its own form."""

from pathlib import Path

from PIL import Image

from .scene import box_mask, dump, pixels, rle

POLYGON = [32, 0, 64, 0, 64, 48, 32, 48]


def write(root: Path) -> None:
    home = root / "grandf_dataset"
    for folder in (
        "GranDf_HA_images/train",
        "coco_2017/train2017",
        "flikcr_30k/train",
        "coco_2014/train2014",
    ):
        (home / folder).mkdir(parents=True)
        Image.fromarray(pixels(0)[0]).save(home / folder / "a.jpg")
    bright, dim = rle(box_mask(0, 0, 0)), rle(box_mask(0, 0, 1))
    words = {
        "two boxes": {"token_positives": [2, 11], "rle_masks": [bright, dim]},
        "A": {"token_positives": [0, 1], "rle_masks": [bright]},
    }
    human = {"file_name": "a.jpg", "caption": '"A two boxes."', "groundings": words}
    nothing = {"file_name": "a.jpg", "caption": "Nothing here.", "groundings": {}}
    files = home / "GranD-f/train"
    dump(files / "GranDf_HA_GCG_train.json", [nothing, human])
    dump(files / "OpenPsgGCG_train.json", [{**human, "file_name": "train2017/a.jpg"}])
    dump(
        files / "flickr_mergedGT_GCG_train.json", {"images": _images(), "annotations": _objects(bright, dim)}
    )
    dump(files / "RefCOCOg_GCG_train.json", [{"5": _refs()}])


def _images() -> list[dict]:
    whole = {"file_name": "a.jpg", "width": 64, "height": 48}
    return [
        {**whole, "id": 1, "caption": "Two boxes meet."},
        {**whole, "id": 2, "caption": "Too short"},
        {**whole, "id": 3, "caption": "The image is small.", "width": 31},
    ]


def _objects(bright: dict, dim: dict) -> list[dict]:
    good = {"image_id": 1, "bbox": [4, 6, 14, 14], "area": 196, "tokens_positive": [[0, 9], [10, 14]]}
    return [
        {**good, "id": 1, "sam_mask": bright},
        {**good, "id": 2, "sam_mask": dim},
        {**good, "id": 3, "sam_mask": dim, "ignore": True},
        {**good, "id": 4, "sam_mask": dim, "bbox": [70, 6, 14, 14]},
        {**good, "id": 5, "sam_mask": dim, "area": 0},
    ]


def _refs() -> dict:
    refs = [
        {"sentence": "box on the right", "segmentation": [POLYGON]},
        {"sentence": "a Bright box", "segmentation": [[0, 0, 8, 0, 8, 6, 0, 6], POLYGON]},
        {"sentence": "a dog", "segmentation": [POLYGON]},
    ]
    return {"img_file_name": "a.jpg", "caption": '"There is a Bright box on the right."', "refs": refs}
