"""Tile the frames of a clip into one picture: python examples/contact_sheet.py clip.mp4 sheet.png"""

import sys

import numpy as np
from PIL import Image

from rufous.video import read_video
from rufous.video.frames import contact_sheet


def main(clip: str, sheet: str) -> None:
    frames = read_video(clip).frames
    tiled = contact_sheet(frames, gap_px=4)
    Image.fromarray(np.ascontiguousarray(tiled.permute(1, 2, 0).numpy())).save(sheet)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
