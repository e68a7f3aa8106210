"""Files of tiny random weights under the published names."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from rufous.perception.aesthetic import AestheticHead, AestheticMLP
from rufous.perception.clip import CLIP
from rufous.perception.dover import DOVER
from tests.perception.tiny_dover import TINY_DOVER
from tests.perception.tiny_towers import TINY_CLIP, randomize

EMBED_DIM = TINY_CLIP.text.embed_dim


def write_clip(folder: Path) -> Path:
    """A folder as transformers has it."""
    network = CLIP(TINY_CLIP)
    randomize(network)
    with torch.no_grad():
        network.model.logit_scale.fill_(4.6052)  # the logarithm of 100
    tensors = {name: tensor.contiguous() for name, tensor in network.model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def write_head(path: Path, *, is_mlp: bool) -> Path:
    head = randomize(AestheticMLP(EMBED_DIM) if is_mlp else AestheticHead(EMBED_DIM))
    torch.save(head.state_dict(), path)
    return path


def write_dover(path: Path) -> Path:
    torch.save(randomize(DOVER(TINY_DOVER)).state_dict(), path)
    return path
