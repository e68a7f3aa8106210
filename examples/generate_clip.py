"""Generate one clip and write it to a file.

python examples/generate_clip.py out/circle.mp4
"""

import sys

import torch

import rufous
from rufous.video import write_video


def main(path: str, model: str = "world-student") -> None:
    pipe = rufous.load(model)
    output = pipe(
        "a red circle moving left on a white background",
        generator=torch.Generator().manual_seed(0),  # the same seed gives the same clip
    )
    write_video(path, output.frames[0], fps=output.fps)
    print({stage: f"{seconds:.2f} s" for stage, seconds in output.seconds.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
