"""Training clips from a curated manifest: which of it is trained on, and each clip cut for its bucket.

Stride, first frame, crop, mirroring and caption depend on the seed, the epoch and the clip's number alone,
never on what was read before, nor on the thread or process that reads.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import UInt8
from torch import Tensor

from rufous.core.console import logger
from rufous.core.randomness import generator_from
from rufous.data.buckets import Bucket, ClipShapes
from rufous.data.clip import Clip
from rufous.data.records import ClipRecord
from rufous.data.score_suffix import some_of, suffix_of, with_suffix
from rufous.data.video_clips import ClipSampling, TrainingClip, clip_rate, draw_frames
from rufous.video.frames import resize
from rufous.video.read import read_frames, timeline_of

SIDES = re.compile(
    r"\b(left|right|leftwards?|rightwards?|clockwise|anticlockwise|counterclockwise)\b", re.IGNORECASE
)
"""Words that a mirrored clip would make wrong."""
_NEEDED = ("num_frames", "height", "width")
_log = logger(__name__)


@dataclass(frozen=True, kw_only=True)
class CuratedSampling:
    """How a clip is cut for its bucket and which of its captions is shown."""

    strides: tuple[int, int] = (1, 1)
    """Smallest and largest distance between two frames taken; buckets have the smallest as ``stride``."""
    crop: Literal["center", "random"] = "center"
    """Which part of a clip remains where its aspect is not quite the bucket's."""
    mirror: bool = False
    """Show half of the clips mirrored, but none whose caption says left or right. Letters come out wrong."""
    captions: Mapping[str, float] = field(
        default_factory=lambda: {"rewritten": 1.0, "described": 0.0, "original": 0.0}
    )
    """Weight of each kind, drawn among those that a clip has; if none of these has any, the first counts."""
    scores: bool = False
    """Whether the clip's scores are written at the end of its caption, as Open-Sora's training does it: the
    camera's motion always, aesthetic and motion scores with probability ``score_suffix.KEEP`` each."""

    def __post_init__(self) -> None:
        smallest, largest = self.strides
        if not 1 <= smallest <= largest:
            raise ValueError(f"strides={self.strides} must be (smallest, largest), from 1 up: (1, 4)")
        if not self.captions:
            raise ValueError("captions={}: name at least one kind, for example original")
        if wrong := [kind for kind, weight in self.captions.items() if not 0.0 <= weight < math.inf]:
            raise ValueError(f"captions[{wrong[0]!r}]={self.captions[wrong[0]]}: use a weight of 0 or more")


class CuratedClips:
    """The clips of a manifest that were kept and have a caption, each at the size of any bucket.

    Reading a clip reads every packet of its file, to number the frames: cut films into files first.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        root: Path | str,
        sampling: CuratedSampling | None = None,
        *,
        seed: int = 0,
    ) -> None:
        """Open no video yet.

        Args:
            clips: Rows of the manifest; dropped ones and those without a caption are left out, and counted.
            root: Folder that the sources start from.
            sampling: The defaults when None.
            seed: Chooses everything that is drawn.

        Raises:
            ValueError: Nothing is left, a clip was not probed, its source leaves ``root``, or ``root`` is no
                folder.
        """
        self.root, self.sampling, self.seed = Path(root), sampling or CuratedSampling(), seed
        if not self.root.is_dir():
            raise ValueError(f"root={root}: no such folder")
        kept = [clip for clip in clips if clip.dropped is None]
        captioned = [clip for clip in kept if any(map(clip.captions.get, self.sampling.captions))]
        self.clips = [clip for clip in captioned if clip.info.get("num_frames") != 0]
        told = (
            f"{len(clips)} clips, {len(clips) - len(kept)} dropped by curation, {len(kept) - len(captioned)} "
            f"without a caption of kind {' or '.join(self.sampling.captions)}, "
            f"{len(captioned) - len(self.clips)} without a frame"
        )
        if not self.clips:
            raise ValueError(f"nothing to train on: {told}")
        _log.info("%d clips to train on, of %s", len(self.clips), told)
        for clip in self.clips:
            if Path(clip.source).is_absolute() or ".." in Path(clip.source).parts:
                raise ValueError(f"the source {clip.source!r} leaves root={root}: sources lie below it")
        self.shapes = ClipShapes.of(
            [
                (_number(clip, "num_frames"), _number(clip, "height"), _number(clip, "width"))
                for clip in self.clips
            ]
        )

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def fingerprint(self) -> str:
        """A hash of what is trained on: places, contents, sizes, captions and what they say of scores."""
        told = [
            [clip.source, clip.start_s, clip.end_s, clip.content_id, dict(clip.captions)]
            for clip in self.clips
        ]
        if self.sampling.scores:
            told += [[str(suffix_of(clip)) for clip in self.clips]]
        shapes = [self.shapes.num_frames.tolist(), self.shapes.height.tolist(), self.shapes.width.tolist()]
        return hashlib.sha256(json.dumps([told, shapes], sort_keys=True).encode()).hexdigest()

    def example(self, index: int, bucket: Bucket, epoch: int) -> TrainingClip:
        """Clip ``index`` as one epoch shows it.

        Raises:
            ValueError: The file is missing or damaged, or shorter than the manifest says.
            OSError: It cannot be read.
        """
        clip, generator = self.clips[index], generator_from(self.seed, "curated", epoch, index)
        caption = choose_caption(clip, self.sampling, generator)
        if self.sampling.scores:
            caption = with_suffix(caption, some_of(suffix_of(clip), generator))
        cut = ClipSampling(
            num_frames=bucket.num_frames,
            height=bucket.height,
            width=bucket.width,
            strides=self.sampling.strides,
            skip_s=0.0,
        )
        path = self.root / clip.source
        timeline = timeline_of(path, num_threads=1)
        record = ClipRecord(source=path, caption=caption, start_s=clip.start_s, end_s=clip.end_s)
        chosen = draw_frames(timeline, record, cut, generator)
        fps = clip_rate(timeline, chosen)
        place = (0.5, 0.5)
        if self.sampling.crop == "random":
            place = tuple(torch.rand(2, generator=generator, dtype=torch.float64).tolist())
        is_mirrored = self.sampling.mirror and float(torch.rand((), generator=generator)) < 0.5
        frames, _ = read_frames(timeline, chosen, num_threads=1)
        covering = [cover(frame, height=bucket.height, width=bucket.width, place=place) for frame in frames]
        shown = torch.stack(covering)
        if is_mirrored and not SIDES.search(caption):
            shown = shown.flip(-1)
        return TrainingClip(frames=shown, fps=fps, caption=caption)


def choose_caption(clip: Clip, sampling: CuratedSampling, generator: torch.Generator) -> str:
    """One of the clip's captions, by the weights of their kinds."""
    there = {kind: weight for kind, weight in sampling.captions.items() if clip.captions.get(kind)}
    total = sum(there.values())
    draw = float(torch.rand((), generator=generator, dtype=torch.float64)) * total
    for kind, weight in there.items():
        if draw < weight or total == 0.0:
            return clip.captions[kind]
        draw -= weight
    return clip.captions[max(there, key=lambda kind: there[kind])]  # rounding left a little over


def cover(
    frame: UInt8[Tensor, "3 h w"], *, height: int, width: int, place: tuple[float, float]
) -> UInt8[Tensor, "3 {height} {width}"]:
    """Scale a frame until it just covers a size, and cut that out of it.

    Args:
        frame: As read.
        height: Pixels.
        width: Pixels.
        place: Where in the surplus the cut lies, from top to bottom, from left to right; 0.5 is the middle.
    """
    from_height, from_width = frame.shape[-2:]
    scale = max(height / from_height, width / from_width)
    sides = max(height, round(from_height * scale)), max(width, round(from_width * scale))
    scaled = resize(frame, height=sides[0], width=sides[1])
    surplus = sides[0] - height, sides[1] - width
    top, left = (int(share * (more + 1 - 1e-9)) for share, more in zip(place, surplus, strict=True))
    return scaled[..., top : top + height, left : left + width]


def _number(clip: Clip, name: str) -> int:
    value = clip.info.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        raise ValueError(
            f"{clip.source}: info has no {name} (it is {value!r}): the stage probe gives {', '.join(_NEEDED)}"
        )
    return int(value)
