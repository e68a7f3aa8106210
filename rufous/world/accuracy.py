"""How often the yardstick is right on fresh clips, and how often it refuses spoilt ones: one table per run.

python -m rufous.world.accuracy --level core --clips 400 --codec h264 --noise 0.05 --size 64
python -m rufous.world.accuracy --level full --clips 100 --spoilt
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from rich.console import Console
from rich.table import Table
from torch import Tensor

from rufous.core.threads import use_one_thread
from rufous.world.captions import describe
from rufous.world.dataset import WorldClips
from rufous.world.spoiling import SPOILERS, SPOILT_ATTRIBUTE, spoil
from rufous.world.truth import RIGHT, Verdict, judge, measure, score

Distortion = Callable[[Tensor, int], Tensor]


def add_noise(frames: UInt8[Tensor, "f 3 h w"], amplitude: float, seed: int) -> UInt8[Tensor, "f 3 h w"]:
    """Gaussian noise in every pixel and channel.

    Args:
        frames: RGB in [0, 255].
        amplitude: Standard deviation as a fraction of 255.
        seed: Of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(frames.shape, generator=generator) * amplitude * 255
    return (frames + noise).round().clamp(0, 255).to(torch.uint8)


def through_h264(
    frames: UInt8[Tensor, "f 3 h w"], fps: float, folder: Path, crf: int = 18
) -> UInt8[Tensor, "f 3 h w"]:
    """The frames after H.264 in 4:2:0, as ``rufous.video`` writes and reads them.

    Raises:
        MissingDependencyError: PyAV is missing.
    """
    from rufous.video import read_video, write_video

    path = write_video(folder / "clip.mp4", frames, fps=fps, crf=crf)
    return read_video(path)[0]


def judge_fresh_clips(clips: WorldClips, count: int, distort: Distortion) -> tuple[list[Verdict], float]:
    """Judge clips against the complete description of their scenes.

    Args:
        clips: Where the clips come from.
        count: How many; the first ones.
        distort: Called with the frames and the index before measuring.

    Returns:
        A verdict for each clip, and the mean time of ``measure`` in seconds of processor time.
    """
    verdicts, seconds = [], 0.0
    for index in range(count):
        clip = clips[index]
        frames = distort(clip.frames, index)
        start = time.process_time()
        measurement = measure(frames, clip.fps)
        seconds += time.process_time() - start
        verdicts.append(judge(describe(clip.scene), measurement))
    return verdicts, seconds / max(count, 1)


def judge_spoilt_clips(clips: WorldClips, kind: str, count: int, distort: Distortion) -> list[Verdict]:
    """Judge clips spoilt in one way against what they would show if they were whole.

    Args:
        clips: Where the scenes come from.
        kind: One of ``SPOILERS``.
        count: How many; scenes that cannot be spoilt so are passed over.
        distort: Called with the frames and the index before measuring.
    """
    verdicts: list[Verdict] = []
    for index, frames in _spoilt(clips, kind):
        if len(verdicts) == count:
            break
        measurement = measure(distort(frames, index), clips.fps)
        verdicts.append(judge(describe(clips.scene(index)[0]), measurement))
    return verdicts


def _spoilt(clips: WorldClips, kind: str) -> Iterator[tuple[int, Tensor]]:
    index = 0
    while True:
        frames = spoil(
            kind,
            clips.scene(index)[0],
            np.random.default_rng([clips.seed, index]),
            num_frames=clips.num_frames,
            height=clips.height,
            width=clips.width,
            fps=clips.fps,
        )
        if frames is not None:
            yield index, frames
        index += 1


def _fresh_table(verdicts: list[Verdict], seconds: float) -> Table:
    table = Table(
        "attribute", "right", "wrong", "unsure", "judged", caption=f"{seconds * 1000:.0f} ms a clip"
    )
    for name, row in score(verdicts).items():
        shares = [f"{row[key]:.1%}" if key in row else "" for key in ("right", "wrong", "unsure")]
        table.add_row(name, *shares, str(int(row["count"])))
    return table


def _spoilt_table(clips: WorldClips, count: int, distort: Distortion) -> Table:
    table = Table("spoilt", "clip refused", "attribute not claimed", "clips")
    for kind, attribute in SPOILT_ATTRIBUTE.items():
        verdicts = judge_spoilt_clips(clips, kind, count, distort)
        refused = np.mean([not verdict.all_right for verdict in verdicts])
        unclaimed = np.mean([verdict.attributes[attribute] != RIGHT for verdict in verdicts])
        table.add_row(kind, f"{refused:.1%}", f"{attribute}: {unclaimed:.1%}", str(len(verdicts)))
    return table


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m rufous.world.accuracy", description=__doc__)
    parser.add_argument("--level", choices=("core", "full"), default="core")
    parser.add_argument("--clips", type=int, default=400, help="clips, or clips per kind with --spoilt")
    parser.add_argument("--codec", choices=("none", "h264"), default="none")
    parser.add_argument("--noise", type=float, default=0.0, help="standard deviation as a fraction of 255")
    parser.add_argument("--size", type=int, default=64, help="height and width in pixels")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--fps", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--spoilt", action="store_true", help=f"spoil the clips: {', '.join(SPOILERS)}")
    return parser.parse_args()


def main() -> None:
    """Print the table that the command line asks for."""
    chosen = _arguments()
    use_one_thread()
    clips = WorldClips(
        seed=chosen.seed,
        level=chosen.level,
        split="any",
        num_frames=chosen.frames,
        height=chosen.size,
        width=chosen.size,
        fps=chosen.fps,
    )
    with tempfile.TemporaryDirectory() as folder:

        def distort(frames: Tensor, index: int) -> Tensor:
            noisy = add_noise(frames, chosen.noise, index) if chosen.noise else frames
            return through_h264(noisy, chosen.fps, Path(folder)) if chosen.codec == "h264" else noisy

        if chosen.spoilt:
            table = _spoilt_table(clips, chosen.clips, distort)
        else:
            table = _fresh_table(*judge_fresh_clips(clips, chosen.clips, distort))
    Console().print(table)


if __name__ == "__main__":
    main()
