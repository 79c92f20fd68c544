"""VidSTG in TubeDETR's processed form: sentences with boxes, and videos as files."""

from pathlib import Path

from .scene import FRAMES, VIDEOS, dump, pixels, write_mp4


def write(root: Path) -> None:
    """The split test, with three videos."""
    sentences, tubes = [], {}
    for video in range(VIDEOS):
        key = f"clip{video}"
        write_mp4(root / "vidstg/video/a" / f"{key}.mp4", pixels(video))
        tubes[key] = {"7": {}}
        for frame in range(1, 5):
            x, y = 4 + 6 * frame + 2 * video, 6
            tubes[key]["7"][str(frame)] = {"bbox": [x, y, 14, 14]}
        for qtype, text in (("declarative", "the box moves right"), ("interrogative", "what moves right?")):
            sentences.append(
                {
                    "video_id": len(sentences), "original_video_id": key, "frame_count": FRAMES, "fps": 6,
                    "width": 64, "height": 48, "start_frame": 1, "end_frame": FRAMES, "tube_start_frame": 1,
                    "tube_end_frame": 5, "video_path": f"a/{key}.mp4", "caption": text, "type": "box",
                    "target_id": 7, "qtype": qtype,
                }
            )  # fmt: skip
    dump(root / "vidstg/test.json", {"videos": sentences, "trajectories": tubes})
