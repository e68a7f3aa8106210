"""Tiny real networks and tokenizer files for the tests of this folder."""

import json
from pathlib import Path

import pytest
from torch import nn

from rufous.networks.text_encoders import TextEncoder
from rufous.networks.unet3d import UNet3D
from rufous.networks.vae2d import AutoencoderKL
from tests.checkpoints.tiny_files import TINY_TEXT, TINY_UNET, TINY_VAE, randomize


@pytest.fixture
def networks() -> dict[str, nn.Module]:
    return {
        "unet": randomize(UNet3D(TINY_UNET), 1),
        "vae": randomize(AutoencoderKL(TINY_VAE), 2),
        "text_encoder": randomize(TextEncoder(TINY_TEXT), 3),
    }


@pytest.fixture
def tokenizer_folder(tmp_path: Path) -> Path:
    """CLIP's two tokenizer files with the byte symbols alone, and no merges."""
    symbols = [chr(code) for code in range(33, 33 + 94)] + [chr(code) for code in range(0xA1, 0xA1 + 162)]
    words = [*symbols, *(f"{symbol}</w>" for symbol in symbols), "<|startoftext|>", "<|endoftext|>"]
    folder = tmp_path / "clip_tokenizer"
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder
