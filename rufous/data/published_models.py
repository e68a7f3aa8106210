"""Networks that score clips, from files that the user has put in place; nothing is downloaded.

None of these files was at hand here: loading is tested on random weights under the published names.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

import torch

from rufous.checkpoints.published import PublishedFile
from rufous.checkpoints.tokenizers import clip_tokenizer
from rufous.checkpoints.vbench import find_vbench_file
from rufous.checkpoints.weights import find_weights, load_published
from rufous.core.errors import CheckpointError
from rufous.perception.aesthetic import AestheticHead, AestheticMLP
from rufous.perception.clip import CLIP, VIT_L_14, CLIPConfig, from_published_names
from rufous.perception.dover import DOVER, DOVERConfig
from rufous.perception.prompts import Tokenizer, check_tokenizer

AestheticKind: TypeAlias = Literal["mlp", "linear"]
Device: TypeAlias = torch.device | str

CLIP_FILE = PublishedFile(hub_id="openai/clip-vit-large-patch14", file="model.safetensors")
AESTHETIC_MLP_FILE = PublishedFile(
    hub_id="christophschuhmann/improved-aesthetic-predictor",
    file="sac+logos+ava1-l14-linearMSE.pth",
    url="https://github.com/christophschuhmann/improved-aesthetic-predictor/raw/main/sac+logos+ava1-l14-linearMSE.pth",
)
DOVER_FILE = PublishedFile(
    hub_id="VQAssessment/DOVER",
    file="DOVER.pth",
    url="https://github.com/QualityAssessment/DOVER/releases/download/v0.1.0/DOVER.pth",
)


def missing_files(*finds: Callable[[], object]) -> str | None:
    """What the first of these cannot find, in its own words; None if they find all."""
    for find in finds:
        try:
            find()
        except CheckpointError as error:
            return str(error)
    return None


def find_clip(path: Path | str | None = None) -> Path:
    """OpenAI's CLIP ViT-L/14 on this machine.

    Args:
        path: The file, or a folder of transformers; None to look where VBench, OpenAI's package, rufous and
            the hub keep it.

    Raises:
        CheckpointError: It is not there; names every place, and where to get it.
    """
    if path is not None:
        return find_weights(CLIP_FILE, Path(path) / CLIP_FILE.file if Path(path).is_dir() else path)
    try:
        return find_vbench_file("clip_l_14")
    except CheckpointError as error:
        try:
            return find_weights(CLIP_FILE)
        except CheckpointError as other:
            raise CheckpointError(f"{error}. As good: {other}") from other


def load_clip(
    path: Path | str | None = None, *, config: CLIPConfig = VIT_L_14, device: Device = "cpu"
) -> CLIP:
    """CLIP, frozen, in float32.

    Args:
        path: As in ``find_clip``.
        config: Architecture of the file's network.
        device: Where the weights go.

    Raises:
        CheckpointError: The file is missing, damaged, or does not fit the config.
    """
    return load_published(
        lambda tensors: (CLIP(config), from_published_names(tensors)), find_clip(path), device=device
    )


def find_clip_tokenizer(folder: Path | str | None = None) -> None:
    """Raise unless the files of CLIP's tokenizer are on this machine.

    Raises:
        CheckpointError: A file is missing; says where to get it.
    """
    clip_tokenizer(folder)


def load_clip_tokenizer(config: CLIPConfig, folder: Path | str | None = None) -> Tokenizer:
    """CLIP's tokenizer; an error unless it fits.

    Raises:
        CheckpointError: A file is missing.
        ConfigError: It is another network's.
    """
    tokenizer = clip_tokenizer(folder)
    check_tokenizer(tokenizer, config.text, name="clip_l_14")
    return tokenizer


def find_aesthetic_head(kind: AestheticKind, path: Path | str | None = None) -> Path:
    """The file of a head on this machine.

    Raises:
        CheckpointError: It is not there; names every place, and where to get it.
    """
    return find_weights(AESTHETIC_MLP_FILE, path) if kind == "mlp" else find_vbench_file("aesthetic", path)


def load_aesthetic_head(
    kind: AestheticKind, path: Path | str | None = None, *, embed_dim: int = 768, device: Device = "cpu"
) -> AestheticHead | AestheticMLP:
    """One of LAION's heads.

    Args:
        kind: ``mlp``: Open-Sora's; ``linear``: VBench's.
        path: The file; None to look where it is kept.
        embed_dim: Width of the embeddings.
        device: Where the weights go.

    Raises:
        CheckpointError: The file is missing, damaged, or another head's.
    """
    network = AestheticMLP if kind == "mlp" else AestheticHead
    return load_published(
        lambda tensors: (network(embed_dim), tensors), find_aesthetic_head(kind, path), device=device
    )


def load_dover(
    path: Path | str | None = None, *, config: DOVERConfig | None = None, device: Device = "cpu"
) -> DOVER:
    """DOVER with its published weights, which may not be used commercially.

    Raises:
        CheckpointError: The file is missing, damaged, or does not fit the config.
    """
    return load_published(
        lambda tensors: (DOVER(config or DOVERConfig()), tensors),
        find_weights(DOVER_FILE, path),
        device=device,
    )
