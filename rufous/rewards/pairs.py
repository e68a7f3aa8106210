"""Networks of two towers and their tokenizer, from published files."""

from pathlib import Path

import torch

from rufous.checkpoints.convert import TOKENIZER_HUB_ID
from rufous.checkpoints.matching import load_strictly
from rufous.checkpoints.published import PublishedFile
from rufous.checkpoints.weights import find_weights, read_weights
from rufous.networks.text_encoders import CLIPTokenizer
from rufous.perception import viclip
from rufous.perception.clip import CLIP, CLIPConfig, from_openclip_names, from_transformers_names


def load_clip(
    config: CLIPConfig,
    file: PublishedFile,
    path: Path | str | None = None,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> CLIP:
    """A CLIP with published weights, under transformers' names or under open_clip's.

    Args:
        config: Architecture of the file's network.
        file: Which file.
        path: Where it lies; None to look where weights are kept.
        device: Where the weights go.
        dtype: Of the weights.

    Raises:
        CheckpointError: The file is missing, or names or shapes differ from the config's.
    """
    found = find_weights(file, path)
    tensors = read_weights(found)
    is_openclip = "token_embedding.weight" in tensors
    tensors = from_openclip_names(tensors) if is_openclip else from_transformers_names(tensors)
    with torch.device("meta"):
        network = CLIP(config)
    load_strictly(network.model, tensors, where=str(found))
    return network.to(device=device, dtype=dtype).eval()


def load_viclip(
    config: viclip.ViCLIPConfig,
    file: PublishedFile,
    path: Path | str | None = None,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> viclip.ViCLIP:
    """A ViCLIP with published weights; arguments and errors as ``load_clip``."""
    found = find_weights(file, path)
    tensors = viclip.from_published_names(read_weights(found, key="model"))
    with torch.device("meta"):
        network = viclip.ViCLIP(config)
    load_strictly(network, tensors, where=str(found))
    return network.to(device=device, dtype=dtype).eval()


def clip_tokenizer(folder: Path | str | None = None) -> CLIPTokenizer:
    """CLIP's tokenizer, from a folder or from where weights are kept.

    Raises:
        CheckpointError: A file is missing.
    """
    files = [
        find_weights(
            PublishedFile(hub_id=TOKENIZER_HUB_ID, file=name), None if folder is None else Path(folder) / name
        )
        for name in ("vocab.json", "merges.txt")
    ]
    return CLIPTokenizer(files[0].parent)
