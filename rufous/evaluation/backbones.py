"""The networks that VBench measures with, from the files that the user has put in place.

Every file is read by the restricted unpickler; a TorchScript file's program is never run. None of these files
was at hand here: loading is tested on random weights under the published names.
"""

from pathlib import Path
from typing import Literal

import torch

from rufous.checkpoints.vbench import find_vbench_file
from rufous.checkpoints.weights import load_published
from rufous.perception import raft, umt, viclip
from rufous.perception.aesthetic import AestheticHead
from rufous.perception.amt import AMT, AMT_S, AMTConfig
from rufous.perception.clip import CLIP, VIT_B_32, VIT_L_14, CLIPConfig, from_published_names
from rufous.perception.dino import DINO, DINO_B_16, DINOConfig
from rufous.perception.musiq import MUSIQ, MUSIQ_SPAQ, MUSIQConfig

CLIPS: dict[str, CLIPConfig] = {"clip_b_32": VIT_B_32, "clip_l_14": VIT_L_14}

Device = torch.device | str


def load_raft(
    path: Path | str | None = None, *, config: raft.RAFTConfig = raft.RAFT_THINGS, device: Device = "cpu"
) -> raft.RAFT:
    """RAFT, frozen, in float32.

    Args:
        path: The file; None to look where VBench keeps it.
        config: Architecture of the file's network.
        device: Where the weights go.

    Raises:
        CheckpointError: The file is missing, damaged, or does not fit the config.
    """
    return load_published(
        lambda tensors: (raft.RAFT(config), raft.from_published_names(tensors)),
        find_vbench_file("raft", path),
        device=device,
    )


def load_amt(path: Path | str | None = None, *, config: AMTConfig = AMT_S, device: Device = "cpu") -> AMT:
    """AMT-S; arguments and errors as ``load_raft``."""
    return load_published(
        lambda tensors: (AMT(config), tensors), find_vbench_file("amt_s", path), device=device
    )


def load_musiq(
    path: Path | str | None = None, *, config: MUSIQConfig = MUSIQ_SPAQ, device: Device = "cpu"
) -> MUSIQ:
    """MUSIQ trained on SPAQ; arguments and errors as ``load_raft``."""
    return load_published(
        lambda tensors: (MUSIQ(config), tensors), find_vbench_file("musiq", path), device=device
    )


def load_umt(
    path: Path | str | None = None, *, config: umt.UMTConfig = umt.UMT_L_16_K400, device: Device = "cpu"
) -> umt.UMT:
    """UMT with its head for actions; arguments and errors as ``load_raft``."""
    return load_published(
        lambda tensors: (umt.UMT(config), umt.from_published_names(tensors, config)),
        find_vbench_file("umt", path),
        device=device,
    )


def load_action_labels(path: Path | str | None = None) -> tuple[str, ...]:
    """Names of the 400 actions of Kinetics in the order of UMT's logits.

    Raises:
        CheckpointError: The file is missing or malformed.
    """
    return umt.read_labels(find_vbench_file("kinetics_400", path))


def load_viclip(
    path: Path | str | None = None, *, config: viclip.ViCLIPConfig, device: Device = "cpu"
) -> viclip.ViCLIP:
    """ViCLIP; arguments and errors as ``load_raft``."""
    return load_published(
        lambda tensors: (viclip.ViCLIP(config), viclip.from_published_names(tensors)),
        find_vbench_file("viclip", path),
        key="model",
        device=device,
    )


def load_dino(
    path: Path | str | None = None, *, config: DINOConfig = DINO_B_16, device: Device = "cpu"
) -> DINO:
    """DINO ViT-B/16; arguments and errors as ``load_raft``."""
    return load_published(
        lambda tensors: (DINO(config), tensors), find_vbench_file("dino", path), device=device
    )


def load_clip(
    name: Literal["clip_b_32", "clip_l_14"],
    path: Path | str | None = None,
    *,
    config: CLIPConfig | None = None,
    device: Device = "cpu",
    with_text: bool = True,
) -> CLIP:
    """OpenAI's CLIP, frozen, in float32 (VBench runs it in half precision on a GPU).

    Args:
        name: Which.
        path: OpenAI's TorchScript file, or a folder of transformers with ``model.safetensors``; None to look
            where VBench and OpenAI's package keep the former.
        config: Architecture; None for that of ``name``.
        device: Where the weights go.
        with_text: Keep the text tower; a row that reads none spares its memory.

    Raises:
        CheckpointError: The file is missing, damaged, or does not fit the config.
    """
    is_folder = path is not None and Path(path).is_dir()
    found = Path(path) / "model.safetensors" if is_folder else find_vbench_file(name, path)  # type: ignore[arg-type]
    network = load_published(
        lambda tensors: (CLIP(config or CLIPS[name]), from_published_names(tensors)), found
    )
    if not with_text:
        network.drop_text()
    return network.to(device)


def load_aesthetic_head(
    path: Path | str | None = None, *, embed_dim: int = 768, device: Device = "cpu"
) -> AestheticHead:
    """LAION's linear head over CLIP ViT-L/14; arguments and errors as ``load_raft``."""
    return load_published(
        lambda tensors: (AestheticHead(embed_dim), tensors),
        find_vbench_file("aesthetic", path),
        device=device,
    )
