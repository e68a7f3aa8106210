"""Captions read by the frozen text tower once; reading them again would be a tenth of each step."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from rufous.core.console import logger
from rufous.core.files import write_text
from rufous.recipes.text_tower import Text

BATCH = 512

_log = logger(__name__)


@dataclass(frozen=True)
class EncodedCaptions:
    """Embeddings ``float16 [n s d]`` and masks ``bool [n s]`` by memory mapping; caption ``j`` of clip ``i``
    is row ``i * per_clip + j``. All are padded to the longest caption."""

    embeds: np.ndarray
    mask: np.ndarray
    per_clip: int

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """``prompt_embeds`` [s d] in float32 and ``prompt_mask`` [s] of one caption."""
        embeds = torch.from_numpy(self.embeds[index].astype(np.float32))
        return embeds, torch.from_numpy(self.mask[index].copy())


def encode_captions(captions: list[list[str]], text: Text, folder: Path) -> EncodedCaptions:
    """The embeddings of every clip's captions, made in ``folder`` unless they are there already.

    Whether they are is told by the captions and the hash of the tower's weights.

    Args:
        captions: Equally many for each clip.
        text: The tower.
        folder: For ``captions.npy``, ``captions_mask.npy`` and ``captions_made_of.json``.
    """
    flat = [caption for each in captions for caption in each]
    done, made_of = folder / "captions_made_of.json", {"text_encoder_sha256": text.sha256, "captions": flat}
    if not done.is_file() or json.loads(done.read_text()) != made_of:
        folder.mkdir(parents=True, exist_ok=True)
        done.unlink(missing_ok=True)
        _log.info("reading %d captions into %s", len(flat), folder)
        _encode(flat, text, folder)
        write_text(done, json.dumps(made_of))
    embeds = np.load(folder / "captions.npy", mmap_mode="r")
    return EncodedCaptions(embeds, np.load(folder / "captions_mask.npy"), len(captions[0]))


def _encode(captions: list[str], text: Text, folder: Path) -> None:
    _, mask = text.tokenizer.encode(captions, text.encoder.config.context_length)
    longest = int(mask.sum(dim=1).max())
    np.save(folder / "captions_mask.npy", mask[:, :longest].numpy())
    shape = (len(captions), longest, text.encoder.config.width)
    embeds = open_memmap(folder / "captions.npy", mode="w+", dtype=np.float16, shape=shape)
    for start in range(0, len(captions), BATCH):
        part = text(captions[start : start + BATCH], 1.0).prompt_embeds
        assert part is not None
        embeds[start : start + BATCH] = part[:, :longest].half().cpu().numpy()
    embeds.flush()
