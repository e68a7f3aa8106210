"""What a set of clips is compared by: four networks, each with the pixels and the figure of its metric.

==========  =============================  =====  ============================  =============================
name        network                        width  pixels                        figure
==========  =============================  =====  ============================  =============================
i3d         I3D, Kinetics-400 logits       400    bilinear to 224x224           fvd
videomae    VideoMAE v2 giant, SSv2        1408   bilinear to 224x224, [0, 1]   fvd_videomae
vjepa       V-JEPA 2 large, SSv2           1024   side 292, middle 256x256      jedi_vjepa2
world       world-video-text               128    bilinear to 64x64             frechet_world
==========  =============================  =====  ============================  =============================

Weights of the first three are read where the user has put them; those of ``world`` are in the package.

Shapes: n clips, f frames, h w pixels, d features.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.published import PublishedFile
from rufous.checkpoints.video_text import WORLD_VIDEO_TEXT, load_video_text
from rufous.checkpoints.weights import find_weights, load_published
from rufous.core.errors import CheckpointError
from rufous.core.files import sha256_of
from rufous.perception.i3d import (
    I3D,
    SIDE_PX,
    TENSORFLOW_EPS,
    I3DConfig,
    from_published_names,
    has_torchscript_names,
)
from rufous.perception.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from rufous.perception.video_text import embed
from rufous.perception.video_transformers import (
    VJEPA2,
    VideoMAE,
    VideoMAEConfig,
    VJEPA2Config,
    from_videomae_v2_names,
)
from rufous.video.frames import center_crop, from_uint8, resize

Resize = Literal["squash", "crop"]

I3D_FILE = PublishedFile(
    hub_id="universome/stylegan-v",
    file="i3d_torchscript.pt",
    url="https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt",
)
VIDEOGPT_I3D_FILE = PublishedFile(
    hub_id="wilson1yan/VideoGPT",
    file="i3d_pretrained_400.pt",
    url="https://drive.google.com/uc?id=1mQK8KD8G6UWRa5t87SRMm5PVXtlpneJT",
)
VIDEOMAE_FILE = PublishedFile(
    hub_id="OpenGVLab/InternVideoMAE_models", file="mae-g/vit_g_hybrid_pt_1200e_ssv2_ft.pth"
)
VJEPA_FILE = PublishedFile(hub_id="facebook/vjepa2-vitl-fpc16-256-ssv2", file="model.safetensors")
_VIDEOGPT_EPS = 1e-5  # of the code that comes with i3d_pretrained_400.pt


@dataclass(frozen=True, kw_only=True)
class VideoFeatures:
    """One network that reads clips, and all that must be said beside a figure of it."""

    name: str
    read: Callable[[Sequence[Tensor]], Tensor]
    """From uint8 clips [f 3 h w] of equal length and any sizes to features [n d]."""
    num_frames: int
    """Frames that the network reads, or the least if it reads any number."""
    takes_more_frames: bool
    resize: str
    """What happens to the pixels, in words."""
    weights: str
    """File or release, and what identifies it."""
    figure: Literal["frechet", "jedi"]
    figure_name: str
    ddof: int
    """What covariances lose in the published form of the figure."""
    status: str
    """How far it was verified."""


def i3d_features(
    path: Path | str | None = None,
    *,
    resize_mode: Resize = "squash",
    published: PublishedFile = I3D_FILE,
    device: torch.device | str = "cpu",
    config: I3DConfig | None = None,
) -> VideoFeatures:
    """Logits of I3D, for FVD.

    Args:
        path: ``i3d_torchscript.pt`` or ``i3d_pretrained_400.pt``; None to look where weights are kept.
        resize_mode: ``squash``: the whole frame to 224x224, as StyleGAN-V. ``crop``: the shorter side to 224,
            then the middle.
        published: Which file is looked for; ``VIDEOGPT_I3D_FILE`` refuses the other one at ``path`` too.
        device: Where the network runs.
        config: Architecture; None for the published one with the epsilon of the file's code.

    Raises:
        CheckpointError: The file is missing or does not fit.
    """

    def build(tensors: dict[str, Tensor]) -> tuple[I3D, dict[str, Tensor]]:
        is_torchscript = has_torchscript_names(tensors)
        if is_torchscript and published == VIDEOGPT_I3D_FILE:
            raise CheckpointError(f"{found} is {I3D_FILE.file}: this protocol needs {published.file}")
        eps = TENSORFLOW_EPS if is_torchscript else _VIDEOGPT_EPS
        return I3D(config or I3DConfig(norm_eps=eps)), from_published_names(tensors)

    found = find_weights(published, path)
    network = load_published(build, found, device=device)

    def pixels(clip: Tensor) -> Tensor:
        return rearrange(_squared(clip, resize_mode), "f c h w -> c f h w")

    return VideoFeatures(
        name="i3d",
        read=_reader(network, pixels, torch.device(device)),
        num_frames=9,
        takes_more_frames=True,
        resize=_RESIZE_IN_WORDS[resize_mode],
        weights=_file_in_words(found),
        figure="frechet",
        figure_name="fvd",
        ddof=1,
        status="parity-random",
    )


def videomae_features(
    path: Path | str | None = None,
    *,
    device: torch.device | str = "cpu",
    config: VideoMAEConfig | None = None,
) -> VideoFeatures:
    """Features of VideoMAE v2, for the content-debiased FVD.

    Args:
        path: ``vit_g_hybrid_pt_1200e_ssv2_ft.pth``; None to look where weights are kept.
        device: Where the network runs.
        config: Architecture; None for the published one.

    Raises:
        CheckpointError: The file is missing or does not fit.
    """
    chosen = config or VideoMAEConfig()
    found = find_weights(VIDEOMAE_FILE, path)
    network = load_published(
        lambda tensors: (VideoMAE(chosen), from_videomae_v2_names(tensors)), found, device=device
    )

    def pixels(clip: Tensor) -> Tensor:
        side = chosen.image_size
        return resize(clip.float() / 255.0, height=side, width=side, mode="bilinear", antialias=False)

    return VideoFeatures(
        name="videomae",
        read=_reader(network, pixels, torch.device(device)),
        num_frames=chosen.num_frames,
        takes_more_frames=False,
        resize=_RESIZE_IN_WORDS["squash"],
        weights=_file_in_words(found),
        figure="frechet",
        figure_name="fvd_videomae",
        ddof=0,
        status="parity-random",
    )


def vjepa_features(
    path: Path | str | None = None,
    *,
    device: torch.device | str = "cpu",
    config: VJEPA2Config | None = None,
) -> VideoFeatures:
    """Features of V-JEPA 2, for JEDi's maths. The published JEDi reads V-JEPA 1: its numbers are others.

    Args:
        path: ``model.safetensors`` of ``vjepa2-vitl-fpc16-256-ssv2``; None to look where weights are kept.
        device: Where the network runs.
        config: Architecture; None for the published one.

    Raises:
        CheckpointError: The file is missing or does not fit.
    """
    chosen = config or VJEPA2Config()
    found = find_weights(VJEPA_FILE, path)
    network = load_published(
        lambda tensors: (VJEPA2(chosen), {f"model.{name}": tensor for name, tensor in tensors.items()}),
        found,
        device=device,
    )
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    shorter = chosen.image_size * 256 // 224  # as transformers' processor of this network

    def pixels(clip: Tensor) -> Tensor:
        scale = shorter / min(clip.shape[-2:])
        height, width = (max(shorter, int(side * scale)) for side in clip.shape[-2:])
        scaled = resize(clip.float() / 255.0, height=height, width=width, mode="bilinear")
        return (center_crop(scaled, height=chosen.image_size, width=chosen.image_size) - mean) / std

    return VideoFeatures(
        name="vjepa",
        read=_reader(network, pixels, torch.device(device)),
        num_frames=chosen.num_frames,
        takes_more_frames=False,
        resize=f"shorter side to {shorter}, bilinear with antialiasing, middle {chosen.image_size}",
        weights=_file_in_words(found),
        figure="jedi",
        figure_name="jedi_vjepa2",
        ddof=1,
        status="unverified",
    )


def world_features(path: Path | str | None = None, *, device: torch.device | str = "cpu") -> VideoFeatures:
    """Embeddings of the world's video-text model, which knows the world's clips and no others.

    Args:
        path: Release with ``video_text``; None for the embedded one.
        device: Where the network runs.

    Raises:
        CheckpointError: No such release, or one without such a model.
    """
    folder = find_release(path or WORLD_VIDEO_TEXT)
    model, stride = load_video_text(folder, device=device)
    manifest = Manifest.load(folder)
    side = model.config.image_size

    def read(clips: Sequence[Tensor]) -> Tensor:
        # by size, since clips of one size are stacked before they are resized
        rows: dict[int, Tensor] = {}
        for size in {clip.shape for clip in clips}:
            places = [i for i, clip in enumerate(clips) if clip.shape == size]
            rows |= zip(places, embed(model, [clips[i] for i in places], stride), strict=True)
        return torch.stack([rows[i] for i in range(len(clips))])

    return VideoFeatures(
        name="world",
        read=read,
        num_frames=stride + 1,
        takes_more_frames=True,
        resize=f"whole frame to {side}x{side}, bilinear with antialiasing; every {stride}. frame",
        weights=f"{manifest.name} {manifest.id}",
        figure="frechet",
        figure_name="frechet_world",
        ddof=1,
        status="own network",
    )


FEATURES: dict[str, Callable[..., VideoFeatures]] = {
    "i3d": i3d_features,
    "videomae": videomae_features,
    "vjepa": vjepa_features,
    "world": world_features,
}
"""Functions that load a network. Each takes ``device``, and first the file or release to load it from."""

_RESIZE_IN_WORDS = {
    "squash": f"whole frame to {SIDE_PX}x{SIDE_PX}, bilinear without antialiasing",
    "crop": f"shorter side to {SIDE_PX}, bilinear without antialiasing, middle {SIDE_PX}x{SIDE_PX}",
}


def load_features(
    name: str, path: Path | str | None = None, *, device: torch.device | str = "cpu"
) -> VideoFeatures:
    """One of ``FEATURES``.

    Raises:
        ValueError: No such network; the message lists those there are.
        CheckpointError: Its weights are missing or do not fit.
    """
    if name not in FEATURES:
        raise ValueError(f"no features {name!r}: use {', '.join(FEATURES)}")
    return FEATURES[name](path, device=device)


def _reader(
    network: nn.Module, pixels: Callable[[Tensor], Tensor], device: torch.device
) -> Callable[[Sequence[Tensor]], Tensor]:
    """Each clip to its pixels by itself, all of them through the network at once, in float32."""

    @torch.no_grad()
    def read(clips: Sequence[Tensor]) -> Tensor:
        return network(torch.stack([pixels(clip) for clip in clips]).to(device)).float().cpu()

    return read


def _squared(clip: UInt8[Tensor, "f 3 h w"], mode: Resize) -> Float[Tensor, "f 3 s s"]:
    """Pixels in [-1, 1] of 224x224; the published code resizes without antialiasing."""
    height = width = SIDE_PX
    if mode == "crop":
        scale = SIDE_PX / min(clip.shape[-2:])
        height, width = (max(SIDE_PX, math.ceil(side * scale)) for side in clip.shape[-2:])
    scaled = resize(from_uint8(clip), height=height, width=width, mode="bilinear", antialias=False)
    return center_crop(scaled, height=SIDE_PX, width=SIDE_PX)


def _file_in_words(path: Path) -> str:
    return f"{path.name} sha256 {sha256_of(path)}"
