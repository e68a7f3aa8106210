"""The files of weights that VBench measures with, where VBench itself keeps them; nothing is downloaded.

A file is looked for where the caller says, else under ``$VBENCH_CACHE_DIR`` or ``~/.cache/vbench`` by
VBench's names, else where the networks' own packages keep it. Checksums are known only where they are part of
a URL or of a name, and files that have another one are refused; no published file was at hand here.

Source: VBench (Huang et al. 2024, arXiv:2311.17982), vbench/utils.py.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from rufous.checkpoints.published import UNKNOWN
from rufous.core.errors import CheckpointError, MissingWeightsError
from rufous.core.files import sha256_of


@dataclass(frozen=True, kw_only=True)
class VBenchFile:
    """One file of weights, or of the names that belong to them."""

    place: str
    """Below VBench's cache."""
    url: str
    sha256: str | None = None
    """The checksum or its first digits; None if no source at hand tells it."""
    elsewhere: str | None = None
    """Below the home directory: where the network's own package keeps it."""
    unpack: bool = False
    """The URL gives an archive that holds the file."""


_MODELS = "https://huggingface.co/OpenGVLab/VBench_Used_Models/resolve/main"
_OPENAI = "https://openaipublic.azureedge.net/clip/models"
_CLIP_B_32 = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
_CLIP_L_14 = "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"

VBENCH_FILES = {
    "raft": VBenchFile(
        place="raft_model/models/raft-things.pth",
        url="https://dl.dropboxusercontent.com/s/4j4z58wuv8o0mfz/models.zip",
        unpack=True,
    ),
    "amt_s": VBenchFile(
        place="amt_model/amt-s.pth", url="https://huggingface.co/lalala125/AMT/resolve/main/amt-s.pth"
    ),
    "musiq": VBenchFile(
        place="pyiqa_model/musiq_spaq_ckpt-358bb6af.pth",
        url="https://github.com/chaofengc/IQA-PyTorch/releases/download/v0.1-weights/musiq_spaq_ckpt-358bb6af.pth",
        sha256="358bb6af",
        elsewhere=".cache/torch/hub/pyiqa/musiq_spaq_ckpt-358bb6af.pth",
    ),
    "umt": VBenchFile(
        place="umt_model/l16_ptk710_ftk710_ftk400_f16_res224.pth",
        url=f"{_MODELS}/l16_ptk710_ftk710_ftk400_f16_res224.pth",
    ),
    "kinetics_400": VBenchFile(
        place="umt_model/kinetics_400_categories.txt",
        url="https://raw.githubusercontent.com/Vchitect/VBench/master/vbench/third_party/umt/kinetics_400_categories.txt",
    ),
    "viclip": VBenchFile(
        place="ViCLIP/ViClip-InternVid-10M-FLT.pth", url=f"{_MODELS}/ViClip-InternVid-10M-FLT.pth"
    ),
    "dino": VBenchFile(
        place="dino_model/dino_vitbase16_pretrain.pth",
        url="https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth",
        elsewhere=".cache/torch/hub/checkpoints/dino_vitbase16_pretrain.pth",
    ),
    "clip_b_32": VBenchFile(
        place="clip_model/ViT-B-32.pt",
        url=f"{_OPENAI}/{_CLIP_B_32}/ViT-B-32.pt",
        sha256=_CLIP_B_32,
        elsewhere=".cache/clip/ViT-B-32.pt",
    ),
    "clip_l_14": VBenchFile(
        place="clip_model/ViT-L-14.pt",
        url=f"{_OPENAI}/{_CLIP_L_14}/ViT-L-14.pt",
        sha256=_CLIP_L_14,
        elsewhere=".cache/clip/ViT-L-14.pt",
    ),
    "aesthetic": VBenchFile(
        place="aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth",
        url="https://raw.githubusercontent.com/LAION-AI/aesthetic-predictor/main/sa_0_4_vit_l_14_linear.pth",
    ),
}


def vbench_cache() -> Path:
    """``$VBENCH_CACHE_DIR``, or ``~/.cache/vbench``."""
    chosen = os.environ.get("VBENCH_CACHE_DIR")
    return Path(chosen) if chosen else Path.home() / ".cache" / "vbench"


def find_vbench_file(name: str, path: Path | str | None = None) -> Path:
    """Where a file lies on this machine.

    Args:
        name: A key of ``VBENCH_FILES``.
        path: The file itself; None to look where it is kept.

    Raises:
        ValueError: No such name.
        MissingWeightsError: It is not there; names where it was looked for, and where to get it.
    """
    if name not in VBENCH_FILES:
        raise ValueError(f"no file {name!r}: use {', '.join(VBENCH_FILES)}")
    wanted = VBENCH_FILES[name]
    kept = vbench_cache() / wanted.place
    places = [kept, Path.home() / wanted.elsewhere] if wanted.elsewhere else [kept]
    places = places if path is None else [Path(path)]
    for place in places:
        if place.is_file():
            return place
    how = "get and unpack" if wanted.unpack else "get"
    checksum = f" (sha256 {wanted.sha256 or UNKNOWN})"
    raise MissingWeightsError(
        f"{kept.name} is missing: looked for {' and '.join(map(str, places))}; "
        f"{how} {wanted.url}{checksum} and put it at {kept}, or set VBENCH_CACHE_DIR"
    )


def vbench_sha256(name: str) -> str:
    """SHA-256 of the file where ``find_vbench_file`` finds it.

    Raises:
        ValueError: No such name.
        MissingWeightsError: It is not there.
        CheckpointError: It is not the published file, if a source tells that one's checksum.
    """
    path, known = find_vbench_file(name), VBENCH_FILES[name].sha256 or ""
    found = sha256_of(path)
    if not found.startswith(known):
        raise CheckpointError(
            f"{path} is damaged or another file: its sha256 is {found}, the published one's begins with "
            f"{known}; get {VBENCH_FILES[name].url}"
        )
    return found
