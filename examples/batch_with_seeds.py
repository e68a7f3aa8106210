"""Several prompts in one call, each with its own seed; a clip does not depend on those beside it.

python examples/batch_with_seeds.py out
"""

import sys
from pathlib import Path

import torch

import rufous
from rufous.video import write_video

PROMPTS = {
    "a small blue star rotating on a black background": 1,
    "a large green square growing on a gray background": 2,
    "a yellow heart bouncing on a white background": 3,
}


def main(folder: str, model: str = "world-student") -> None:
    pipe = rufous.load(model)
    generators = [torch.Generator().manual_seed(seed) for seed in PROMPTS.values()]
    output = pipe(list(PROMPTS), generator=generators, batch_size=2)
    for prompt, frames in zip(PROMPTS, output.frames, strict=True):
        write_video(Path(folder) / f"{prompt.replace(' ', '-')}.mp4", frames, fps=output.fps)


if __name__ == "__main__":
    main(*sys.argv[1:])
