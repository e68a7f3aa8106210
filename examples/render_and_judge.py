"""Render clips of the procedural world and let its yardstick judge them from the pixels alone.

python examples/render_and_judge.py 10
"""

import sys

from rufous.world import WorldClips, score, truth_of


def main(count: str = "10") -> None:
    clips = WorldClips(seed=0, complete_captions=True)
    verdicts = []
    for i in range(int(count)):
        clip = clips[i]
        verdicts.append(truth_of(clip.frames, clip.fps, clip.caption))
        print(clip.caption, "->", verdicts[-1].attributes)
    print(score(verdicts))


if __name__ == "__main__":
    main(*sys.argv[1:])
