"""How well a whole clip shows its prompt: what temporal_style and overall_consistency share."""

from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from rufous.evaluation.dimensions.consistency import EmbedText
from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import ClipScore
from rufous.evaluation.dimensions.resizing import clip_pixels

NUM_FRAMES = 8
EmbedVideo: TypeAlias = Callable[[Tensor], Tensor]
"""From preprocessed clips [b 3 8 224 224] to embeddings [b e]."""


@torch.no_grad()
def video_text_score(clip: DecodedClip, embed_video: EmbedVideo, embed_text: EmbedText) -> ClipScore:
    """Cosine of the embeddings of eight frames and of the whole prompt; frames are resized as bytes.

    Raises:
        ValueError: The clip has no prompt.
    """
    if not clip.prompt:
        raise ValueError("the clip has no prompt to compare it with: name it by its prompt, or give a suite")
    pixels = clip_pixels(clip.middle(NUM_FRAMES))
    video = F.normalize(embed_video(rearrange(pixels, "f c h w -> 1 c f h w")).float().cpu(), dim=-1)
    return ClipScore(value=float((video @ embed_text([clip.prompt]).T).squeeze()))
