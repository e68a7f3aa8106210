"""What a release can be made of: one row of a plain dict for each kind of component.

A kind is stored in ``model_index.json`` and in the component's own ``config.json``. Three sorts exist:
networks (a config class, a network class, a safetensors file), settings (a config class alone) and tokenizers
(files).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from rufous.core.errors import CheckpointError
from rufous.diffusion.prediction import PREDICTION_TYPES, PredictionType
from rufous.diffusion.sampling import SamplingConfig
from rufous.diffusion.schedules import ScheduleConfig
from rufous.networks.text_encoders import CLIPTokenizer, TextEncoder, TextEncoderConfig, WordTokenizer
from rufous.networks.tiny_decoder import TinyDecoder, TinyDecoderConfig
from rufous.networks.unet3d import UNet3D, UNet3DConfig
from rufous.networks.vae2d import AutoencoderKL, AutoencoderKLConfig
from rufous.networks.video_text import VideoTextConfig, VideoTextModel


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """How a release's network was trained, and how it is sampled unless the caller says otherwise."""

    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    prediction_type: PredictionType = "epsilon"
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    embedded_guidance_scale: float | None = None
    """w of ``cond + w * (cond - uncond)``, for a network with ``guidance_embed_dim``; None for the others."""
    embedded_motion_weight: float | None = None
    """T2V-Turbo-v2's lambda, for a network with ``motion_embed_dim``; None leaves the motion input out."""
    motion_share: float = 0.3
    """The noisiest share of the timesteps, where that weight applies; it is 0 in the others."""
    num_frames: int = 16
    height: int = 320
    """Pixels."""
    width: int = 512
    """Pixels."""
    fps: float = 8.0
    """Frames per second that the network is told, and of the written file."""
    written_fps: float | None = None
    """Frames per second of the written file, where it is not the one the network is told; None: the same."""

    def __post_init__(self) -> None:
        if self.prediction_type not in PREDICTION_TYPES:
            raise ValueError(
                f"prediction_type={self.prediction_type!r} is unknown: use {', '.join(PREDICTION_TYPES)}"
            )
        if min(self.num_frames, self.height, self.width) < 1 or min(self.fps, self.written_fps or 1.0) <= 0:
            raise ValueError("num_frames, height, width and both fps must be positive")


NETWORKS: dict[str, tuple[type[Any], type[nn.Module]]] = {
    "unet3d": (UNet3DConfig, UNet3D),
    "autoencoder_kl": (AutoencoderKLConfig, AutoencoderKL),
    "text_encoder": (TextEncoderConfig, TextEncoder),
    "video_text": (VideoTextConfig, VideoTextModel),
    "tiny_decoder": (TinyDecoderConfig, TinyDecoder),
}
SETTINGS: dict[str, type[Any]] = {"diffusion": DiffusionConfig}
TOKENIZERS: dict[str, tuple[str, ...]] = {
    "word_tokenizer": ("words.json",),
    "clip_tokenizer": ("vocab.json", "merges.txt"),
}
KINDS = (*NETWORKS, *SETTINGS, *TOKENIZERS)


def kind_of(component: object) -> str:
    """The kind of a network, settings or tokenizer object.

    Raises:
        CheckpointError: No row of this module describes it.
    """
    for kind, (_, network_class) in NETWORKS.items():
        if type(component) is network_class:
            return kind
    for kind, config_class in SETTINGS.items():
        if type(component) is config_class:
            return kind
    if isinstance(component, WordTokenizer):
        return "word_tokenizer"
    raise CheckpointError(
        f"a {type(component).__name__} cannot be a component: use one of the kinds {', '.join(KINDS)}, "
        "or the path of a component's folder in another release"
    )


def kind_of_config(config: object) -> str:
    """The kind of a network, by its config.

    Raises:
        ValueError: It is the config of no network.
    """
    for kind, (config_class, _) in NETWORKS.items():
        if type(config) is config_class:
            return kind
    raise ValueError(f"a {type(config).__name__} is the config of no network: use {', '.join(NETWORKS)}")


def empty_network(config: Any) -> nn.Module:
    """The network of a config on the meta device: names and shapes, no memory.

    Raises:
        ValueError: As ``kind_of_config``.
    """
    with torch.device("meta"), _WithoutRandomValues():
        return NETWORKS[kind_of_config(config)][1](config)


def shapes_of(config: Any) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's weights, from its config alone."""
    return {name: tuple(tensor.shape) for name, tensor in empty_network(config).state_dict().items()}


class _WithoutRandomValues(TorchFunctionMode):
    """Leaves out the drawing of initial weights, which on meta means nothing yet imports torch's compiler."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _RANDOM_VALUES:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


_RANDOM_VALUES = ("normal_", "uniform_", "trunc_normal_", "kaiming_uniform_", "xavier_uniform_")


def check_kind(kind: object, *, where: Path | str) -> str:
    """``kind``, if it is known.

    Raises:
        CheckpointError: It is not; the message lists those that are.
    """
    if not isinstance(kind, str) or kind not in KINDS:
        raise CheckpointError(f"{where} has the component kind {kind!r}: this code knows {', '.join(KINDS)}")
    return kind


def load_tokenizer(kind: str, folder: Path) -> WordTokenizer | CLIPTokenizer:
    """The tokenizer in a component's folder.

    Raises:
        CheckpointError: A file is missing or damaged.
    """
    missing = [name for name in TOKENIZERS[kind] if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder} has no {' and no '.join(missing)}: fetch or convert the release again"
        )
    if kind == "clip_tokenizer":
        return CLIPTokenizer(folder)
    try:
        return WordTokenizer.load(folder / "words.json")
    except ValueError as error:
        raise CheckpointError(f"{folder / 'words.json'} is damaged: {error}") from error
