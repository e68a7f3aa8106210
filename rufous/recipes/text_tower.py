"""The frozen text tower of a release, as training reads captions with it."""

from dataclasses import replace
from pathlib import Path

import torch

from rufous.checkpoints.release import load_component
from rufous.core.files import sha256_of
from rufous.core.types import Conditioning
from rufous.networks.text_encoders import CLIPTokenizer, TextEncoder, WordTokenizer
from rufous.pipelines.loading import component_name
from rufous.pipelines.prompts import encode_prompts


class Text:
    """The frozen text tower with its tokenizer: captions in, conditioning out."""

    def __init__(self, folder: str, device: torch.device) -> None:
        name = component_name(folder, "text_encoder")
        self.encoder: TextEncoder = load_component(folder, name, dtype=torch.float32, device=device)
        self.tokenizer: WordTokenizer | CLIPTokenizer = load_component(
            folder, component_name(folder, "tokenizer")
        )
        self.encoder.eval().requires_grad_(False)
        self.sha256 = sha256_of(Path(folder) / name / "model.safetensors")
        self._device = device

    def __call__(self, captions: list[str], fps: float) -> Conditioning:
        """Embeddings, mask and fps of each caption, as the pipeline makes them."""
        rate = torch.full((len(captions),), fps, device=self._device)
        return replace(encode_prompts(captions, self.tokenizer, self.encoder), fps=rate)
