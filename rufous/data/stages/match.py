"""How well the frames of a clip show what its caption says, by CLIP ViT-L/14.

Source: Zheng et al. 2024 (arXiv:2412.20404), Open-Sora, tools/scoring/matching: the middle frame, the cosine
times the logit scale (about 100).
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch

from rufous.core.devices import pick_device
from rufous.data.best_caption import CaptionChoice, caption_of
from rufous.data.clip import Clip
from rufous.data.frame_choice import frames_at, spread_frames
from rufous.data.published_models import (
    find_clip,
    find_clip_tokenizer,
    load_clip,
    load_clip_tokenizer,
    missing_files,
)
from rufous.data.stage import Gives
from rufous.perception.clip import CLIP
from rufous.perception.prompts import Tokenizer, encode_prompts
from rufous.video.frames import from_uint8


@dataclass(frozen=True, kw_only=True)
class Match:
    """Scores ``match``, about 10 to 35; higher is better. Text beyond 77 tokens is not read."""

    name: ClassVar[str] = "match"
    after: ClassVar[tuple[str, ...]] = ("describe", "describe_locally", "rewrite", "rewrite_locally")
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = True
    gives: ClassVar[Gives] = Gives(numbers=("match",))

    caption: CaptionChoice = "best"
    frames: Literal["middle", "mean"] = "middle"
    """``mean``: over all frames that curation holds at full size, which sees more of a clip that changes."""
    clip_file: str | None = None
    """OpenAI's file or a folder of transformers; None: where it is kept (docs/curation_learned.md)."""
    tokenizer: str | None = None
    """Folder with CLIP's ``vocab.json`` and ``merges.txt``; None: where they are kept."""
    device: str = "auto"
    """``auto`` takes the best there is."""

    def missing(self) -> str | None:
        """What is missing and how to get it; None if nothing is."""
        return missing_files(lambda: find_clip(self.clip_file), lambda: find_clip_tokenizer(self.tokenizer))

    def weight_files(self) -> Sequence[Path]:
        """What its scores come from; ``CheckpointError`` where a file is missing."""
        return (find_clip(self.clip_file),)

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with its score.

        Raises:
            ValueError: It has no such caption, or cannot be read.
            CheckpointError: A file is missing or damaged.
        """
        caption, media = caption_of(clip, self.caption), clip.frames()
        tower, tokenizer = _networks(self)
        chosen = (
            frames_at(media, (0.5,)) if self.frames == "middle" else spread_frames(media, len(media.full))
        )
        with torch.no_grad():
            images = tower.encode_image(from_uint8(chosen.to(tower.model.logit_scale.device)))
            text = encode_prompts(
                tower,
                tokenizer,
                [caption],
                context_length=tower.config.text.context_length,
                device=images.device,
            )
            score = tower.model.logit_scale.exp() * (images @ text.T).mean()
        return [clip.with_scores(match=score.item())]


@functools.lru_cache(maxsize=1)
def _networks(stage: Match) -> tuple[CLIP, Tokenizer]:
    tower = load_clip(stage.clip_file, device=pick_device(stage.device))
    return tower, load_clip_tokenizer(tower.config, stage.tokenizer)
