"""The picture of docs/curation_loader.md: clips of many sizes and lengths, and the buckets that they go to.

python -m tests.data.loader_figures
"""

import math
from collections import Counter

import numpy as np

from rufous.data.aspect import num_pixels
from rufous.data.buckets import BucketConfig, BucketRule, ClipShapes, place
from tests.data.sheets import BLUE, GREEN, GREY, LINE, ORANGE, Sheet

CONFIG = BucketConfig(
    rules=(
        BucketRule(resolution="360p", num_frames=102, keep=0.5, batch_size=2),
        BucketRule(resolution="360p", num_frames=51, batch_size=4),
        BucketRule(resolution="240p", num_frames=102, batch_size=5),
        BucketRule(resolution="240p", num_frames=51, batch_size=10),
    ),
    aspects=("9:16", "3:4", "1:1", "4:3", "16:9"),
)
COLORS = {
    ("360p", 102): "#7b3fa0",
    ("360p", 51): BLUE,
    ("240p", 102): ORANGE,
    ("240p", 51): GREEN,
}
ASPECTS, PIXELS, FRAMES = (0.4, 2.6), (40_000, 700_000), (25, 240)
"""Ranges that are drawn: width over height, pixels, frames."""
LEFT, RIGHT = (70, 30, 540, 430), (590, 30, 1060, 430)
"""Boxes of the two halves: left, top, right, bottom."""


def shapes() -> np.ndarray:
    """Frames, height and width of 260 clips."""
    rng = np.random.default_rng(3)
    pixels = np.exp(rng.uniform(np.log(55_000), np.log(600_000), 260))
    usual = np.array([16 / 9, 4 / 3, 1.0, 3 / 4, 9 / 16])
    aspects = usual[rng.choice(5, 260, p=[0.35, 0.2, 0.1, 0.1, 0.25])] * np.exp(rng.normal(0, 0.07, 260))
    frames = np.exp(rng.uniform(np.log(30), np.log(220), 260))
    return (
        np.stack([frames, np.sqrt(pixels / aspects), np.sqrt(pixels * aspects)], axis=1).round().astype(int)
    )


def along(value: float, span: tuple[float, float], start: float, stop: float) -> float:
    """A place on a logarithmic axis."""
    share = math.log(value / span[0]) / math.log(span[1] / span[0])
    return start + (stop - start) * share


def axes(
    sheet: Sheet,
    box: tuple[int, int, int, int],
    span: tuple[float, float],
    ticks: dict[float, str],
    words: str,
) -> None:
    """A frame with ticks below, and the resolutions' pixels at the left."""
    left, top, right, bottom = box
    sheet.pen.rectangle(box, outline="#bbbbbb")
    for value, name in ticks.items():
        x = along(value, span, left, right)
        sheet.pen.line((x, bottom, x, bottom + 4), fill=GREY)
        sheet.words(name, x - 4 * len(name), bottom + 6, color=GREY)
    for name in ("240p", "360p"):
        y = along(0.8 * num_pixels(name), PIXELS, bottom, top)
        for x in range(left, right, 8):
            sheet.pen.line((x, y, x + 3, y), fill=GREY)
    sheet.words(words, left, top - 22)


def main() -> None:
    """Both halves and the legend."""
    table = shapes()
    placement = place(ClipShapes(*table.T), CONFIG, seed=0, epoch=0)
    sheet = Sheet(1076, 570)
    names = {0.5625: "16:9 upright", 0.75: "4:3", 1.0: "1:1", 1.333: "3:4", 1.778: "9:16 wide"}
    axes(sheet, LEFT, ASPECTS, names, "pixels of a frame, over height:width")
    axes(sheet, RIGHT, FRAMES, {30: "30", 51: "51", 102: "102", 200: "200"}, "pixels of a frame, over frames")
    for name in ("240p", "360p"):
        y = along(0.8 * num_pixels(name), PIXELS, LEFT[3], LEFT[1])
        sheet.words(f"0.8 of\n{name}", 20, y - 16, color=GREY)
    for x in (51, 102):
        line = along(x, FRAMES, RIGHT[0], RIGHT[2])
        for y in range(RIGHT[1], RIGHT[3], 8):
            sheet.pen.line((line, y, line, y + 3), fill=GREY)
    for (frames, height, width), number in zip(table.tolist(), placement.bucket_of.tolist(), strict=True):
        bucket = placement.buckets[number] if number >= 0 else None
        color = "#aaaaaa" if bucket is None else COLORS[bucket.resolution, bucket.num_frames]
        x = along(width / height, ASPECTS, LEFT[0], LEFT[2])
        y = along(width * height, PIXELS, LEFT[3], LEFT[1])
        if bucket is not None:
            there = (
                along(bucket.width / bucket.height, ASPECTS, LEFT[0], LEFT[2]),
                along(bucket.width * bucket.height, PIXELS, LEFT[3], LEFT[1]),
            )
            sheet.pen.line((x, y, *there), fill="#d8d8d8")
        for across in (x, along(frames, FRAMES, RIGHT[0], RIGHT[2])):
            sheet.pen.ellipse((across - 3, y - 3, across + 3, y + 3), fill=color)
    for bucket in placement.counts:
        x = along(bucket.width / bucket.height, ASPECTS, LEFT[0], LEFT[2])
        y = along(bucket.width * bucket.height, PIXELS, LEFT[3], LEFT[1])
        sheet.pen.rectangle((x - 6, y - 6, x + 6, y + 6), outline="black", width=2)
    counts = Counter[tuple[str, int]]()
    for bucket, count in placement.counts.items():
        counts[bucket.resolution, bucket.num_frames] += count
    top = 470
    for row, rule in enumerate(CONFIG.rules):
        key = rule.resolution, rule.num_frames
        sheet.pen.ellipse((72, top + 4 + LINE * row, 80, top + 12 + LINE * row), fill=COLORS[key])
        keeps = "" if rule.keep == 1.0 else f", keeps {rule.keep:.0%} of those that come"
        told = f"{rule.resolution}, {rule.num_frames} frames: {counts[key]} clips{keeps}"
        sheet.words(told, 90, top + LINE * row)
    sheet.pen.ellipse((592, top + 4, 600, top + 12), fill="#aaaaaa")
    lost = [f"{count}, {reason}" for reason, count in placement.left_out.items()]
    sheet.words("in no bucket: " + "\n".join(lost), 610, top)
    sheet.pen.rectangle((590, top + 4 + 3 * LINE, 602, top + 16 + 3 * LINE), outline="black", width=2)
    sheet.words("a size of frames; a line leads there from each of its clips", 610, top + 2 + 3 * LINE)
    sheet.save("curation-buckets.png", colors=64)


if __name__ == "__main__":
    main()
