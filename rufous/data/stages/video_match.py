"""How well a whole clip, its motion too, shows what its caption says, by a video-text model of a release.

For clips that such a model knows: the embedded ``world-video-text`` for the world, or one that was trained
with ``rufous train world_video_text``. For footage of any kind there is ``match``.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.manifest import MANIFEST_NAME
from rufous.checkpoints.release import load_component
from rufous.checkpoints.video_text import WORLD_VIDEO_TEXT, load_video_text
from rufous.core.devices import pick_device
from rufous.core.errors import CheckpointError
from rufous.data.best_caption import CaptionChoice, caption_of
from rufous.data.clip import Clip
from rufous.data.stage import Gives
from rufous.networks.video_text import VideoTextModel
from rufous.perception.prompts import Tokenizer, encode_prompts
from rufous.video.frames import from_uint8


@dataclass(frozen=True, kw_only=True)
class VideoMatch:
    """Scores ``video_match``, the cosine of clip and caption in [-1, 1]; higher is better."""

    name: ClassVar[str] = "video_match"
    after: ClassVar[tuple[str, ...]] = ("describe", "describe_locally", "rewrite", "rewrite_locally")
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False
    gives: ClassVar[Gives] = Gives(numbers=("video_match",))

    release: str = WORLD_VIDEO_TEXT
    """Embedded name or folder with the components ``video_text`` and ``tokenizer``."""
    caption: CaptionChoice = "best"
    device: str = "auto"
    """``auto`` takes the best there is."""

    def missing(self) -> str | None:
        """What is missing and how to get it; None if nothing is."""
        try:
            find_release(self.release)
        except CheckpointError as error:
            return str(error)
        return None

    def weight_files(self) -> Sequence[Path]:
        """What its scores come from; ``CheckpointError`` where a file is missing."""
        folder = find_release(self.release)
        parts = ("video_text", "tokenizer")
        return [
            folder / MANIFEST_NAME,
            *(path for name in parts for path in sorted((folder / name).iterdir())),
        ]

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with its score: every so-manieth frame is read, as in the model's training.

        Raises:
            ValueError: It has no such caption, cannot be read, or the caption has words that the model cannot
                know.
            CheckpointError: The release is damaged or lacks a component.
        """
        caption, media = caption_of(clip, self.caption), clip.frames()
        model, tokenizer, stride = _networks(self.release, self.device)
        device = model.frame_position.device
        frames = torch.from_numpy(media.small[::stride].transpose(3, 0, 1, 2).copy())[None]
        with torch.no_grad():
            shown = model.encode_video(from_uint8(frames[:, :, : model.config.max_frames].to(device)))
            text = encode_prompts(
                model, tokenizer, [caption], context_length=model.config.text.context_length, device=device
            )
        return [clip.with_scores(video_match=float((shown * text).sum()))]


@functools.lru_cache(maxsize=1)
def _networks(release: str, device: str) -> tuple[VideoTextModel, Tokenizer, int]:
    model, stride = load_video_text(release, device=pick_device(device))
    return model.eval(), load_component(find_release(release), "tokenizer"), stride
