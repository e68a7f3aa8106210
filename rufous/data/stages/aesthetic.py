"""How much people like the look of a clip, by LAION's predictors over CLIP ViT-L/14.

Source: Zheng et al. 2024 (arXiv:2412.20404), Open-Sora, tools/scoring/aesthetic: the head with five layers,
frames at 0.1, 0.5 and 0.9 of the clip, mean. About 5.5 is fair and 6.5 high. VBench (arXiv:2311.17982) takes
the linear head.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from rufous.core.devices import pick_device
from rufous.data.clip import Clip
from rufous.data.frame_choice import frames_at
from rufous.data.published_models import (
    AestheticKind,
    find_aesthetic_head,
    find_clip,
    load_aesthetic_head,
    load_clip,
    missing_files,
)
from rufous.data.stage import Gives
from rufous.perception.clip import CLIP
from rufous.video.frames import from_uint8


@dataclass(frozen=True, kw_only=True)
class Aesthetic:
    """Scores ``aesthetic``, about 1 to 10; higher is better.

    Differs from Open-Sora: the frame taken is the nearest to each point among those held at full size.
    """

    name: ClassVar[str] = "aesthetic"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = True
    gives: ClassVar[Gives] = Gives(numbers=("aesthetic",))

    head: AestheticKind = "mlp"
    """``mlp``: Open-Sora's; ``linear``: VBench's."""
    points: tuple[float, ...] = (0.1, 0.5, 0.9)
    """Of the clip, 0 for its start and 1 for its end."""
    head_file: str | None = None
    """None: where it is kept (docs/curation_learned.md)."""
    clip_file: str | None = None
    """OpenAI's file or a folder of transformers; None: where it is kept."""
    device: str = "auto"
    """``auto`` takes the best there is."""

    def missing(self) -> str | None:
        """What is missing and how to get it; None if nothing is."""
        return missing_files(
            lambda: find_aesthetic_head(self.head, self.head_file), lambda: find_clip(self.clip_file)
        )

    def weight_files(self) -> Sequence[Path]:
        """What its scores come from; ``CheckpointError`` where a file is missing."""
        return find_aesthetic_head(self.head, self.head_file), find_clip(self.clip_file)

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with its score.

        Raises:
            ValueError: It cannot be read.
            CheckpointError: A file of weights is missing or damaged.
        """
        tower, head = _networks(self)
        frames = from_uint8(frames_at(clip.frames(), self.points).to(tower.model.logit_scale.device))
        with torch.no_grad():
            scores = head(tower.encode_image(frames))
        return [clip.with_scores(aesthetic=scores.mean().item())]


@functools.lru_cache(maxsize=1)
def _networks(stage: Aesthetic) -> tuple[CLIP, nn.Module]:
    head = load_aesthetic_head(stage.head, stage.head_file, device=pick_device(stage.device))
    return load_clip(stage.clip_file, device=pick_device(stage.device)), head
