"""Tile the frames of a clip into one picture.

python examples/contact_sheet.py clip.mp4 sheet.png
"""

import sys

from einops import rearrange
from PIL import Image

from rufous.video import read_video
from rufous.video.frames import contact_sheet


def main(clip: str, sheet: str) -> None:
    frames, _ = read_video(clip)
    tiled = contact_sheet(frames, gap_px=4)
    Image.fromarray(rearrange(tiled, "c h w -> h w c").numpy()).save(sheet)


if __name__ == "__main__":
    main(*sys.argv[1:])
