"""The README's picture: clips of the embedded model, one row a prompt, every other frame.

    python scripts/make_picture.py docs/pictures/world-teacher.png

Seeds are 0 for every prompt, and nothing is picked by hand.
"""

import sys
from pathlib import Path

import torch
from einops import rearrange
from PIL import Image, ImageDraw, ImageFont

import rufous

PROMPTS = (
    "a red circle moving left on a white background",
    "a large blue star spinning on a beige background",
    "a small pink heart rising on a gradient from navy to black",
    "a yellow square bouncing on a gray background",
    "a green cross getting bigger on a black background",
    "a medium cyan ring moving in a circle on a brown background",
)
SCALE = 2
LINE_PX = 20


def main(path: Path) -> None:
    """Generate and draw."""
    pipe = rufous.load("world-teacher", device="cpu")
    generators = [torch.Generator().manual_seed(0) for _ in PROMPTS]
    clips = pipe(list(PROMPTS), generator=generators).frames
    rows = [rearrange(clip[::2], "f c h w -> h (f w) c").numpy() for clip in clips]
    height, width = rows[0].shape[0] * SCALE, rows[0].shape[1] * SCALE
    sheet = Image.new("RGB", (width, len(rows) * (height + LINE_PX)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    for index, (prompt, row) in enumerate(zip(PROMPTS, rows, strict=True)):
        top = index * (height + LINE_PX)
        draw.text((4, top + 2), prompt, fill="black", font=font)
        sheet.paste(
            Image.fromarray(row).resize((width, height), Image.Resampling.NEAREST), (0, top + LINE_PX)
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
