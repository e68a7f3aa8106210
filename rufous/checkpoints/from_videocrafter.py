"""VideoCrafter2's checkpoint names to this project's components; Hummingbird and T2V-Turbo share them.

====================================  =========================================================
prefix in the file                    what it is
====================================  =========================================================
``model.diffusion_model.``            the U-Net, our names
``first_stage_model.``                the autoencoder, our names
``cond_stage_model.model.``           OpenCLIP's text tower, our names
``teacher_model.``                    the teacher of Hummingbird's stage 1, dropped
``betas``, ``alphas_cumprod``, ...    tables of the noise schedule, checked and dropped
====================================  =========================================================

Configs are read off names and shapes, and then checked against all of them; what weights do not tell, such as
the heads of an unknown text tower, is asked for instead of guessed.

Source: the key names of the VideoCrafter2 release.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rufous.checkpoints.kinds import shapes_of
from rufous.checkpoints.matching import check_shapes
from rufous.core.errors import CheckpointError, ConfigError
from rufous.diffusion.schedules import ScheduleConfig, VPSchedule
from rufous.networks.text_encoders import OPENCLIP_VIT_H_14, TextEncoderConfig
from rufous.networks.unet3d import (
    INIT_ATTENTION_HEADS,
    UNET_0_7B,
    UNET_0_9B,
    VIDEOCRAFTER2,
    UNet3DConfig,
)
from rufous.networks.vae2d import AutoencoderKLConfig

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
TEXT_PREFIX = "cond_stage_model.model."
TEACHER_PREFIX = "teacher_model."
SCHEDULE_BUFFERS = frozenset(
    {
        *("betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod"),
        *("sqrt_one_minus_alphas_cumprod", "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod"),
        *("sqrt_recipm1_alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped"),
        *("posterior_mean_coef1", "posterior_mean_coef2", "scale_arr", "lvlb_weights", "logvar"),
    }
)
# parts of open_clip's text model that the tower here has no use for: contrastive scale, causal mask
UNUSED_TEXT = frozenset({"logit_scale", "attn_mask"})
SCHEDULE = ScheduleConfig()  # scaled linear, 0.00085 to 0.012, 1000 steps: VideoCrafter2's
_SCHEDULE_TOLERANCE = 2e-3  # relative; half precision keeps 1e-3


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A checkpoint taken apart: weights by component, and what was left out, by name."""

    unet: dict[str, Tensor] = field(default_factory=dict)
    vae: dict[str, Tensor] = field(default_factory=dict)
    text_encoder: dict[str, Tensor] = field(default_factory=dict)
    schedule: dict[str, Tensor] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()


def split_checkpoint(tensors: Mapping[str, Tensor], *, where: Path | str) -> Parts:
    """Sort the tensors of a whole checkpoint by component; a bare U-Net state dict is recognised too.

    Raises:
        CheckpointError: Names that belong nowhere, or no U-Net.
    """
    if "time_embed.0.weight" in tensors and "out.2.weight" in tensors:
        return Parts(unet=dict(tensors))
    parts = Parts()
    dropped: list[str] = []
    homes = {UNET_PREFIX: parts.unet, VAE_PREFIX: parts.vae, TEXT_PREFIX: parts.text_encoder}
    unknown: list[str] = []
    for name, tensor in tensors.items():
        prefix = next((prefix for prefix in homes if name.startswith(prefix)), None)
        if prefix == TEXT_PREFIX and name.removeprefix(prefix) in UNUSED_TEXT:
            dropped.append(name)
        elif prefix is not None:
            homes[prefix][name.removeprefix(prefix)] = tensor
        elif name in SCHEDULE_BUFFERS:
            parts.schedule[name] = tensor
        elif name.startswith(TEACHER_PREFIX):
            dropped.append(name)
        else:
            unknown.append(name)
    if unknown:
        shown = ", ".join(unknown[:8]) + (f" and {len(unknown) - 8} more" if len(unknown) > 8 else "")
        raise CheckpointError(f"{where} holds names that belong to no component: {shown}")
    if not parts.unet:
        raise CheckpointError(f"{where} holds no U-Net: nothing in it begins with {UNET_PREFIX!r}")
    return Parts(**{**vars(parts), "dropped": tuple(dropped)})


def check_schedule(buffers: Mapping[str, Tensor], schedule: ScheduleConfig, *, where: Path | str) -> None:
    """Compare the checkpoint's table of cumulative alphas, if it has one, with the release's schedule.

    Raises:
        CheckpointError: They differ, so the weights were trained on another schedule.
    """
    if (table := buffers.get("alphas_cumprod")) is None:
        return
    timesteps = torch.arange(schedule.num_train_timesteps, dtype=torch.float32)
    wanted = VPSchedule(schedule).alpha(timesteps).double().square()
    if table.shape != wanted.shape:
        raise CheckpointError(f"{where} has a schedule of {len(table)} steps, not {len(wanted)}")
    worst = ((table.double() - wanted).abs() / wanted).max().item()
    if not worst <= _SCHEDULE_TOLERANCE:
        raise CheckpointError(
            f"{where} was trained on another noise schedule: alphas_cumprod differs by {worst:.1%}; "
            f"pass the right ScheduleConfig"
        )


def infer_unet_config(tensors: Mapping[str, Tensor], *, where: Path | str) -> UNet3DConfig:
    """The U-Net config that these weights belong to; every name and shape is checked against it.

    Raises:
        CheckpointError: No config of this family fits; lists the differences with the nearest names.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    try:
        config = _read_unet(shapes)
    except (KeyError, IndexError, ZeroDivisionError, ConfigError) as error:
        raise CheckpointError(
            f"{where} is no U-Net of VideoCrafter's family: {error} does not fit"
        ) from error
    check_shapes(shapes_of(config), shapes, where=f"the U-Net of {where}")
    return config


def _read_unet(shapes: Mapping[str, tuple[int, ...]]) -> UNet3DConfig:
    width, in_channels = shapes["input_blocks.0.0.weight"][:2]
    levels: list[list[int]] = [[]]  # output widths of the residual stages of each level
    attention: list[bool] = [False]
    for i in range(1, _count(shapes, r"input_blocks\.(\d+)\.")):
        if f"input_blocks.{i}.0.op.weight" in shapes:
            levels.append([])
            attention.append(False)
            continue
        levels[-1].append(shapes[f"input_blocks.{i}.0.in_layers.2.weight"][0])
        attention[-1] |= f"input_blocks.{i}.1.norm.weight" in shapes
    embedding = next(shape for name, shape in shapes.items() if name.endswith(".emb_layers.1.weight"))
    out_width = next(shape for name, shape in shapes.items() if name.endswith(".in_layers.2.weight"))[0]
    return UNet3DConfig(
        in_channels=in_channels,
        out_channels=shapes["out.2.weight"][0],
        model_channels=width,
        channel_mult=tuple(widths[-1] // width for widths in levels),
        num_res_blocks=len(levels[0]),
        attention_resolutions=tuple(2**i for i in reversed(range(len(levels))) if attention[i]),
        num_head_channels=_head_channels(shapes),
        cross_attention_dim=_context_width(shapes),
        init_attention="init_attn.0.norm.weight" in shapes,
        fps_conditioning="fps_embedding.0.weight" in shapes,
        guidance_embed_dim=shapes["time_cond_proj.weight"][1] if "time_cond_proj.weight" in shapes else None,
        motion_embed_dim=shapes["motion_cond_proj.weight"][1]
        if "motion_cond_proj.weight" in shapes
        else None,
        removed_blocks=frozenset()
        if _count(shapes, r"middle_block\.(\d+)\.")
        else frozenset({"middle_block"}),
        use_scale_shift_norm=embedding[0] != out_width,
        pooled_prompt="prompt_pooling.0.weight" in shapes,
    )


def _count(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> int:
    """One more than the highest number that ``pattern`` catches at the beginning of a name."""
    found = [int(match[1]) for name in shapes if (match := re.match(pattern, name))]
    return max(found, default=-1) + 1


def _head_channels(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Width of a head: the first temporal transformer has a fixed number of heads, so its width tells."""
    inner = shapes.get("init_attn.0.transformer_blocks.0.attn1.to_q.weight")
    return inner[0] // INIT_ATTENTION_HEADS if inner else VIDEOCRAFTER2.num_head_channels


def _context_width(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Width of the prompt embeddings: the second attention of a spatial transformer reads them."""
    spatial = (
        r"(input_blocks\.\d+|middle_block|output_blocks\.\d+)\.1\.transformer_blocks\.0\.attn2\.to_k\.weight"
    )
    return next((shape[1] for name, shape in shapes.items() if re.fullmatch(spatial, name)), 0)


def describe_unet(config: UNet3DConfig) -> str:
    """The published network that a config is, for logs and manifests, or what distinguishes it."""
    names = {"VideoCrafter2": VIDEOCRAFTER2, "Hummingbird 0.9B": UNET_0_9B, "Hummingbird 0.7B": UNET_0_7B}
    guided = " with guidance embedding" if config.guidance_embed_dim is not None else ""
    guided += " and motion embedding" if config.motion_embed_dim is not None else ""
    for name, published in names.items():
        if replace(config, guidance_embed_dim=None, motion_embed_dim=None) == published:
            return name + guided
    return f"U-Net of width {config.model_channels}{guided}"


def infer_vae_config(tensors: Mapping[str, Tensor], *, where: Path | str) -> AutoencoderKLConfig:
    """The autoencoder config that these weights belong to, with Stable Diffusion's latent scale.

    Raises:
        CheckpointError: No config of this family fits; lists the differences with the nearest names.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    try:
        base, in_channels = shapes["encoder.conv_in.weight"][:2]
        num_levels = _count(shapes, r"encoder\.down\.(\d+)\.")
        widths = [shapes[f"encoder.down.{i}.block.0.conv2.weight"][0] for i in range(num_levels)]
        config = AutoencoderKLConfig(
            in_channels=in_channels,
            out_channels=shapes["decoder.conv_out.weight"][0],
            base_channels=base,
            channel_mult=tuple(width // base for width in widths),
            num_res_blocks=_count(shapes, r"encoder\.down\.0\.block\.(\d+)\."),
            latent_channels=shapes["decoder.conv_in.weight"][1],
        )
    except (KeyError, IndexError, ConfigError) as error:
        raise CheckpointError(f"{where} is no KL autoencoder: {error} does not fit") from error
    check_shapes(shapes_of(config), shapes, where=f"the autoencoder of {where}")
    return config


def infer_text_config(tensors: Mapping[str, Tensor], *, where: Path | str) -> TextEncoderConfig:
    """The config of OpenCLIP's ViT-H/14 text tower, if these weights are its own.

    Weights do not tell the number of heads, so another tower needs its config from the caller.

    Raises:
        CheckpointError: They are not; lists the differences with the nearest names.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    hint = "; for another tower pass its TextEncoderConfig"
    check_shapes(shapes_of(OPENCLIP_VIT_H_14), shapes, where=f"the text tower of {where}{hint}")
    return OPENCLIP_VIT_H_14


def component_config(name: str, tensors: Mapping[str, Tensor], *, where: Path | str) -> Any:
    """The inferred config of the component ``unet``, ``vae`` or ``text_encoder``."""
    infer = {"unet": infer_unet_config, "vae": infer_vae_config, "text_encoder": infer_text_config}
    return infer[name](tensors, where=where)
