"""Sentences about single frames, by an image captioner of transformers.

BLIP is the default (Li et al. 2022, arXiv:2201.12086); any model that transformers loads for image and text
and that needs no instruction does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from rufous.perception.hub_models import HubModel, load_hub_model

BLIP = "Salesforce/blip-image-captioning-large"


@dataclass(frozen=True, eq=False)
class HubCaptioner:
    """A captioner: beam search, so that the same frame has the same caption."""

    source: HubModel
    num_beams: int = 3
    max_new_tokens: int = 30
    batch_size: int = 8

    @torch.no_grad()
    def __call__(self, frames: Sequence[UInt8[Tensor, "3 _ _"]] | UInt8[Tensor, "n 3 h w"]) -> list[str]:
        """A sentence in small letters for each frame; frames may differ in size."""
        pictures, captions = list(frames), list[str]()
        for start in range(0, len(pictures), self.batch_size):
            inputs = self.source.inputs(pictures[start : start + self.batch_size])
            ids = self.source.network.generate(
                **inputs, num_beams=self.num_beams, max_new_tokens=self.max_new_tokens, do_sample=False
            )
            texts = self.source.processor.batch_decode(ids, skip_special_tokens=True)
            captions += [text.strip().lower() for text in texts]
        return captions


def load_captioner(
    hub_id: str = BLIP, *, device: torch.device | str = "cpu", **settings: Any
) -> HubCaptioner:
    """A captioner from a folder or from the hub's cache; nothing is downloaded.

    Args:
        hub_id: Repository on the hub, or a folder in transformers' layout with ``model.safetensors``.
        device: Where the weights go.
        **settings: Fields of ``HubCaptioner``.

    Raises:
        CheckpointError: It is not there, incomplete, or no captioner.
    """
    return HubCaptioner(load_hub_model(hub_id, "AutoModelForImageTextToText", device=device), **settings)
