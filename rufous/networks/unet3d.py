"""VideoCrafter2's 3D U-Net: 2D spatial blocks interleaved with temporal attention and convolution.

Pruned variants share this class; ``UNet3DConfig.removed_blocks`` says which published blocks are absent:
stages, or parts of a stage. No weight depends on the number of frames, so a network runs at any length.

Two things differ from the published code, neither of them in the numbers. Activations stay in one layout,
channels last, so that 2D convolutions, 3-tap temporal convolutions, norms and attention all read views of the
same memory. And text keys and values are computed once per clip instead of once per frame.

Source: Chen et al. 2024 (arXiv:2401.09047) and the pruned variants of Hummingbird (arXiv:2503.18559); same
layout and key names as the releases, including the spelling ``temopral_conv``.

Shapes: b batch, c channels, f frames, h w latent height and width, n = h * w tokens of one frame, s text
tokens, d features of one head, k heads, e time-embedding features.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rufous.core.errors import ConfigError
from rufous.core.types import Conditioning
from rufous.networks.attention import attention
from rufous.networks.layers import call_checkpointed, sinusoidal_embedding, zero_

INIT_ATTENTION_HEADS = 8  # fixed in the published code, whatever the width
TOKENS_PER_SLICE = (
    1024  # keeps the feed-forward's eight-fold wider intermediate in cache when no gradient is kept
)


@dataclass(frozen=True, kw_only=True)
class UNet3DConfig:
    """Architecture of one 3D U-Net; every field but the last three is a number the checkpoint fixes."""

    in_channels: int = 4
    out_channels: int = 4
    model_channels: int = 320
    channel_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    """Residual stages per level on the way down; there is one more on the way up."""
    attention_resolutions: tuple[int, ...] = (4, 2, 1)
    """Downsampling factors at which stages have transformers; the middle block always has them."""
    num_head_channels: int = 64
    transformer_depth: int = 1
    temporal_transformer_depth: int = 1
    cross_attention_dim: int = 1024
    init_attention: bool = True
    """Temporal transformer right after the first convolution."""
    fps_conditioning: bool = True
    guidance_embed_dim: int | None = None
    """Width of the embedded guidance scale; None for a network that runs without it."""
    motion_embed_dim: int | None = None
    """Width of T2V-Turbo-v2's embedded motion weight, which follows the scale in ``cond.guidance_embeds``."""
    removed_blocks: frozenset[str] = frozenset()
    """What this variant leaves out: stages such as ``"middle_block"`` (see ``prunable_blocks``) and parts of
    stages such as ``"middle_block.1"`` (see ``prunable_parts``)."""
    use_scale_shift_norm: bool = False
    """Time embedding scales and shifts a ResBlock's second norm (FiLM) instead of being added before it."""
    pooled_prompt: bool = False
    """The prompt embeddings, pooled and through a small network, join the time embedding."""
    prompt_queries: int = 0
    """Learnt queries that pool the prompt by attention (arXiv:2205.11487, appendix D.1); 0 for the mean."""
    temporal_position: Literal["none", "sinusoidal"] = "none"
    """Sinusoid of the frame index, added at the entrance of every temporal transformer; has no weights."""
    clip_attention: bool = False
    """The second attention of temporal transformers is over all tokens of the clip, not over one place's
    course; with positions, tokens then know their row and column too. Motion is a change of place, which
    attention at one place sees only by way of the spatial layers; a small network needs long for that."""
    frame_embedding: bool = False
    """Each frame's own time embedding (see ``FrameEmbedding``), so that every ResBlock knows where in the
    motion its frame is; single frames that know theirs learn motion too. Needs ``pooled_prompt``."""
    skip_temporal_on_images: bool = False
    """A clip of one frame passes the temporal layers by, so that training on images costs half and leaves
    those layers alone; the published networks run them."""
    norm_groups: int = 32
    """Groups of every GroupNorm; narrow networks need fewer, or the norms wipe out brightness and colour."""
    dropout: float = 0.0
    temporal_dropout: float = 0.1  # fixed at this value in the published temporal convolutions
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass; the initial value of the attribute of that name."""

    def __post_init__(self) -> None:
        if not self.channel_mult or self.num_res_blocks < 1:
            raise ConfigError(
                "a U-Net needs at least one level in channel_mult and num_res_blocks of at least 1"
            )
        for width in {self.model_channels * mult for mult in self.channel_mult}:
            if width % self.norm_groups or width % self.num_head_channels:
                raise ConfigError(
                    f"width {width} does not fit: use a multiple of norm_groups={self.norm_groups} and of "
                    f"num_head_channels={self.num_head_channels}"
                )
        if self.frame_embedding and not self.pooled_prompt:
            raise ConfigError("frame_embedding needs pooled_prompt=True: a frame's place says little alone")
        if self.motion_embed_dim is not None and self.guidance_embed_dim is None:
            raise ConfigError("motion_embed_dim needs guidance_embed_dim: the two are merged")
        stages, parts = prunable_blocks(self), prunable_parts(self)
        for name in sorted(self.removed_blocks):
            if name not in (*stages, *parts):
                raise ValueError(
                    f"removed_blocks: {name!r} changes the width or the resolution, or does not exist: "
                    f"use any of {', '.join(stages)}, or parts of stages: {', '.join(parts)}"
                )
            whole = next((each for each in self.removed_blocks if name.startswith(f"{each}.")), None)
            if whole is not None:
                raise ValueError(
                    f"removed_blocks: {name!r} is a part of {whole!r}, which goes too: leave it out"
                )

    @staticmethod
    def from_reference(params: Mapping[str, Any]) -> "UNet3DConfig":
        """The config that the published ``unet_config.params`` of a VideoCrafter YAML describes.

        Fields that are absent take the published class's own defaults.

        Raises:
            ConfigError: A field is unknown, or asks for a part that no release of this family uses.
        """
        known = {*_REFERENCE_NAMES, *_REFERENCE_FIXED, *_REFERENCE_IGNORED}
        if unknown := sorted(set(params) - known):
            raise ConfigError(
                f"unknown U-Net fields {', '.join(unknown)}: known are {', '.join(sorted(known))}"
            )
        for name, (default, wanted) in _REFERENCE_FIXED.items():
            if params.get(name, default) != wanted:
                raise ConfigError(f"{name}={params.get(name, default)!r} is not supported: use {wanted!r}")
        values: dict[str, Any] = {"init_attention": False, "fps_conditioning": False}
        values |= {
            _REFERENCE_NAMES[name]: value for name, value in params.items() if name in _REFERENCE_NAMES
        }
        for name in ("channel_mult", "attention_resolutions"):
            if name in values:
                values[name] = tuple(values[name])
        return UNet3DConfig(**values)


_REFERENCE_NAMES = {
    "in_channels": "in_channels",
    "out_channels": "out_channels",
    "model_channels": "model_channels",
    "channel_mult": "channel_mult",
    "num_res_blocks": "num_res_blocks",
    "attention_resolutions": "attention_resolutions",
    "num_head_channels": "num_head_channels",
    "transformer_depth": "transformer_depth",
    "temporal_transformer_depth": "temporal_transformer_depth",
    "context_dim": "cross_attention_dim",
    "addition_attention": "init_attention",
    "fps_cond": "fps_conditioning",
    "time_cond_proj_dim": "guidance_embed_dim",
    "motion_cond_proj_dim": "motion_embed_dim",
    "use_scale_shift_norm": "use_scale_shift_norm",
    "dropout": "dropout",
    "use_checkpoint": "gradient_checkpointing",
}
# name: (default of the published class, the only value supported here)
_REFERENCE_FIXED: dict[str, tuple[Any, Any]] = {
    "num_heads": (-1, -1),
    "dims": (2, 2),
    "conv_resample": (True, True),
    "resblock_updown": (False, False),
    "use_linear": (False, True),
    "temporal_conv": (False, True),
    "temporal_attention": (True, True),
    "temporal_selfatt_only": (True, True),
    "use_relative_position": (True, False),
    "use_causal_attention": (False, False),
    "tempspatial_aware": (False, False),
    "use_image_attention": (False, False),
}
_REFERENCE_IGNORED = {"temporal_length", "use_fp16", "legacy"}  # no weight or number depends on them


@dataclass(frozen=True, kw_only=True)
class _StagePlan:
    """Widths and parts of one residual stage, before it is built."""

    name: str
    in_channels: int
    out_channels: int
    skip_channels: int = 0
    attention: bool = False
    resample: Literal["none", "down", "up"] = "none"

    @property
    def is_prunable(self) -> bool:
        """Whether an identity can stand in: same width, same resolution."""
        return self.resample == "none" and self.in_channels == self.out_channels


def _plan_input(config: UNet3DConfig) -> list[_StagePlan]:
    """Stages on the way down, after the first convolution (which is ``input_blocks.0``)."""
    plans: list[_StagePlan] = []
    width = config.model_channels
    for level, mult in enumerate(config.channel_mult):
        for _ in range(config.num_res_blocks):
            plans.append(
                _StagePlan(
                    name=f"input_blocks.{len(plans) + 1}",
                    in_channels=width,
                    out_channels=mult * config.model_channels,
                    attention=2**level in config.attention_resolutions,
                )
            )
            width = mult * config.model_channels
        if level < len(config.channel_mult) - 1:
            name = f"input_blocks.{len(plans) + 1}"
            plans.append(_StagePlan(name=name, in_channels=width, out_channels=width, resample="down"))
    return plans


def _plan_output(config: UNet3DConfig) -> list[_StagePlan]:
    """Stages on the way up; each reads the skip that the mirrored input stage left."""
    plans: list[_StagePlan] = []
    inputs = _plan_input(config)
    skips = [config.model_channels, *(plan.out_channels for plan in inputs)]
    width = skips[-1]
    for level, mult in reversed(list(enumerate(config.channel_mult))):
        for i in range(config.num_res_blocks + 1):
            plans.append(
                _StagePlan(
                    name=f"output_blocks.{len(plans)}",
                    in_channels=width,
                    out_channels=mult * config.model_channels,
                    skip_channels=skips.pop(),
                    attention=2**level in config.attention_resolutions,
                    resample="up" if level and i == config.num_res_blocks else "none",
                )
            )
            width = mult * config.model_channels
    return plans


def prunable_blocks(config: UNet3DConfig) -> tuple[str, ...]:
    """Published names that ``removed_blocks`` may hold, whether or not they are removed already.

    A stage can go when an identity can stand in for it: it keeps the width and the resolution. Then:

    * ``middle_block``: the deepest input stage's output goes straight to the first output stage.
    * ``input_blocks.i``: its input passes on and is also the skip, so the output stages keep their widths.
    * ``output_blocks.i``: the skip it would have read is popped and dropped; its input passes on.

    All other stages keep their published numbers, so a pruned network loads the full one's matching keys.
    ``prunable_parts`` names what can go inside a stage.
    """
    stages = [plan.name for plan in _plan_input(config) if plan.is_prunable]
    stages += ["middle_block"]
    return (*stages, *(plan.name for plan in _plan_output(config) if plan.is_prunable))


def stage_widths(config: UNet3DConfig) -> dict[str, int]:
    """Channels that each residual stage answers with, by published name."""
    plans = (*_plan_input(config), *_plan_output(config))
    deepest = config.channel_mult[-1] * config.model_channels
    return {**{plan.name: plan.out_channels for plan in plans}, "middle_block": deepest}


def prunable_parts(config: UNet3DConfig) -> tuple[str, ...]:
    """Names of parts of stages that ``removed_blocks`` may hold, in the order in which they run.

    Each adds a residual to what it reads, so without it that passes on unchanged:

    * ``init_attn``.
    * ``input_blocks.4.1`` and ``.2``: the spatial and the temporal transformer of a stage.
    * ``input_blocks.4.0.temopral_conv``: the temporal convolutions of a ResBlock.
    * ``middle_block.0``: a ResBlock that keeps the width, in a stage with other parts. ResBlocks on the way
      up read the skip as well, so they go only with their stage.

    The parts beside it keep their published numbers.
    """
    names = ["init_attn"] if config.init_attention else []
    for plan in _plan_input(config):
        names += _stage_parts(plan)
    names += [f"middle_block.{part}" for part in _MIDDLE_PARTS]
    for plan in _plan_output(config):
        names += _stage_parts(plan)
    return tuple(names)


_MIDDLE_PARTS = ("0", "0.temopral_conv", "1", "2", "3", "3.temopral_conv")


def _stage_parts(plan: _StagePlan) -> list[str]:
    if plan.resample == "down":
        return []
    parts = ["0.temopral_conv"]
    if plan.attention:
        keeps_width = plan.in_channels + plan.skip_channels == plan.out_channels
        parts = [*(["0"] if keeps_width else []), *parts, "1", "2"]
    return [f"{plan.name}.{part}" for part in parts]


VIDEOCRAFTER2 = UNet3DConfig()
UNET_0_9B = replace(VIDEOCRAFTER2, num_res_blocks=1)
UNET_0_7B = replace(UNET_0_9B, removed_blocks=frozenset({"middle_block"}))
# the released few-step networks read the guidance scale, embedded in 256 numbers
VIDEOCRAFTER2_GUIDED = replace(VIDEOCRAFTER2, guidance_embed_dim=256)
UNET_0_9B_GUIDED = replace(UNET_0_9B, guidance_embed_dim=256)
UNET_0_7B_GUIDED = replace(UNET_0_7B, guidance_embed_dim=256)


@dataclass(frozen=True, kw_only=True)
class StageInputs:
    """What every block may read beside the activations."""

    time_embeds: Float[Tensor, "bf e"]
    """One for each frame of each clip."""
    prompt_embeds: Float[Tensor, "b s d"]
    prompt_mask: Bool[Tensor, "b s"] | None
    frame_indices: Float[Tensor, "b f"]
    is_temporal: bool
    """Whether the temporal layers run."""

    @property
    def num_frames(self) -> int:
        """Of each clip."""
        return self.frame_indices.shape[1]


def _frames_apart(x: Tensor, num_frames: int) -> Tensor:
    """``(b f) c h w`` as ``b c f h w``: a view when channels are last in memory, as they are here."""
    return rearrange(x, "(b f) c h w -> b c f h w", f=num_frames)


def _frames_together(x: Tensor) -> Tensor:
    """``b c f h w`` as ``(b f) c h w``."""
    return rearrange(x, "b c f h w -> (b f) c h w")


def _silu() -> nn.SiLU:
    """SiLU over a norm's output, which nothing else reads: in place, since fresh memory costs page faults."""
    return nn.SiLU(inplace=True)


class TemporalConvBlock(nn.Module):
    """Four 3-tap convolutions along time with one residual; the last starts at zero."""

    def __init__(self, channels: int, config: UNet3DConfig) -> None:
        super().__init__()
        dropout = config.temporal_dropout

        def convolution(*middle: nn.Module) -> nn.Sequential:
            conv = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0))
            return nn.Sequential(nn.GroupNorm(config.norm_groups, channels), _silu(), *middle, conv)

        self.conv1 = convolution()
        self.conv2 = convolution(nn.Dropout(dropout))
        self.conv3 = convolution(nn.Dropout(dropout))
        self.conv4 = convolution(nn.Dropout(dropout))
        zero_(self.conv4[-1])

    def forward(self, x: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b c f h w"]:
        """Mix each pixel's neighbours in time; the ends see zeros."""
        return x + self.conv4(self.conv3(self.conv2(self.conv1(x))))


class ResBlock(nn.Module):
    """Two 3x3 convolutions, told the time in between, then a block of temporal convolutions."""

    def __init__(self, in_channels: int, out_channels: int, time_channels: int, config: UNet3DConfig) -> None:
        super().__init__()
        self.use_scale_shift_norm = config.use_scale_shift_norm
        self.in_layers = nn.Sequential(
            nn.GroupNorm(config.norm_groups, in_channels),
            _silu(),
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
        )
        width = 2 * out_channels if config.use_scale_shift_norm else out_channels
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time_channels, width))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(config.norm_groups, out_channels),
            _silu(),
            nn.Dropout(config.dropout),
            zero_(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        same = in_channels == out_channels
        self.skip_connection = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)
        self.temopral_conv = TemporalConvBlock(out_channels, config)

    def forward(self, x: Float[Tensor, "bf c h w"], inputs: StageInputs) -> Float[Tensor, "bf o h w"]:
        """Residual update of every frame, then of every pixel's course in time."""
        hidden = self.in_layers(x)
        time = self.emb_layers(inputs.time_embeds)[..., None, None]
        if self.use_scale_shift_norm:
            scale, shift = time.chunk(2, dim=1)
            hidden = self.out_layers[0](hidden) * (1 + scale) + shift
            hidden = self.out_layers[1:](hidden)
        else:
            hidden = self.out_layers(hidden + time)
        hidden = self.skip_connection(x) + hidden
        if not inputs.is_temporal:
            return hidden
        return _frames_together(self.temopral_conv(_frames_apart(hidden, inputs.num_frames)))


# how tokens are grouped into sequences of one attention: (queries, keys and values)
_GROUPS = {
    "space": ("b f n (k d) -> (b f) k n d", "b f n (k d) -> (b f) k n d"),
    "time": ("b f n (k d) -> (b n) k f d", "b f n (k d) -> (b n) k f d"),
    "clip": ("b f n (k d) -> b k (f n) d", "b f n (k d) -> b k (f n) d"),
    "text": ("b f n (k d) -> b k (f n) d", "b s (k d) -> b k s d"),
}


class Attention(nn.Module):
    """Multi-head attention of a clip's tokens over one frame, over time at one place, over the whole clip, or
    over the text."""

    def __init__(
        self,
        width: int,
        num_heads: int,
        over: Literal["space", "time", "clip", "text"],
        context_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.num_heads, self.over = num_heads, over
        context_dim = width if context_dim is None else context_dim
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context_dim, width, bias=False)
        self.to_v = nn.Linear(context_dim, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width), nn.Dropout(0.0))

    def forward(self, x: Float[Tensor, "b f n c"], inputs: StageInputs) -> Float[Tensor, "b f n c"]:
        """Attend and project; text that ``prompt_mask`` marks False is not seen."""
        b, f, n, _ = x.shape
        is_text = self.over == "text"
        context = inputs.prompt_embeds if is_text else x
        masked = is_text and inputs.prompt_mask is not None
        mask = rearrange(inputs.prompt_mask, "b s -> b 1 1 s") if masked else None
        queries, keys = _GROUPS[self.over]
        mixed = attention(
            rearrange(self.to_q(x), queries, k=self.num_heads),
            rearrange(self.to_k(context), keys, k=self.num_heads),
            rearrange(self.to_v(context), keys, k=self.num_heads),
            mask,
        )
        source, target = queries.split(" -> ")
        return self.to_out(rearrange(mixed, f"{target} -> {source}", b=b, f=f, n=n))


class GEGLU(nn.Module):
    """Linear map to twice the width; one half, through a GELU, gates the other."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * inner)

    def forward(self, x: Float[Tensor, "... c"]) -> Float[Tensor, "... i"]:
        """Value times GELU(gate)."""
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """Gated feed-forward, four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GEGLU(width, 4 * width), nn.Dropout(0.0), nn.Linear(4 * width, width))

    def forward(self, x: Float[Tensor, "b f n c"]) -> Float[Tensor, "b f n c"]:
        """Map each token by itself; without gradients in slices, which bounds memory and stays in cache."""
        if torch.is_grad_enabled():
            return self.net(x)
        tokens = rearrange(x, "b f n c -> (b f n) c")
        parts = [self.net(part) for part in tokens.split(TOKENS_PER_SLICE)]
        return torch.cat(parts).view_as(x)


class TransformerBlock(nn.Module):
    """Self-attention, attention to the text (or again over time), feed-forward; each with a pre-norm."""

    def __init__(self, width: int, *, first: Attention, second: Attention) -> None:
        super().__init__()
        self.attn1 = first
        self.ff = FeedForward(width)
        self.attn2 = second
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "b f n c"], inputs: StageInputs) -> Float[Tensor, "b f n c"]:
        """Three residual updates."""
        x = self.attn1(self.norm1(x), inputs) + x
        x = self.attn2(self.norm2(x), inputs) + x
        return self.ff(self.norm3(x)) + x


def _project(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a linear map to tokens; ``init_attn`` stores its maps as convolutions of width 1."""
    if isinstance(layer, nn.Conv1d):
        return F.linear(x, layer.weight[..., 0], layer.bias)
    return layer(x)


class SpatialTransformer(nn.Module):
    """Attention over the pixels of each frame, then from each pixel to the text."""

    def __init__(self, channels: int, config: UNet3DConfig) -> None:
        super().__init__()
        heads = channels // config.num_head_channels
        self.norm = nn.GroupNorm(config.norm_groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(
                channels,
                first=Attention(channels, heads, "space"),
                second=Attention(channels, heads, "text", config.cross_attention_dim),
            )
            for _ in range(config.transformer_depth)
        )
        self.proj_out = zero_(nn.Linear(channels, channels))

    def forward(self, x: Float[Tensor, "bf c h w"], inputs: StageInputs) -> Float[Tensor, "bf c h w"]:
        """Residual update of every frame by itself."""
        height = x.shape[2]
        tokens = rearrange(self.norm(x), "(b f) c h w -> b f (h w) c", f=inputs.num_frames)
        tokens = self.proj_in(tokens)
        for block in self.transformer_blocks:
            tokens = block(tokens, inputs)
        return x + rearrange(self.proj_out(tokens), "b f (h w) c -> (b f) c h w", h=height)


class TemporalTransformer(nn.Module):
    """Attention over time at each pixel, twice, or then over the clip; order is known only by a position."""

    def __init__(self, channels: int, config: UNet3DConfig, *, is_initial: bool = False) -> None:
        super().__init__()
        heads = INIT_ATTENTION_HEADS if is_initial else channels // config.num_head_channels
        width = heads * config.num_head_channels
        depth = config.transformer_depth if is_initial else config.temporal_transformer_depth
        self.has_position = config.temporal_position == "sinusoidal"
        self.sees_clip = config.clip_attention
        self.norm = nn.GroupNorm(config.norm_groups, channels, eps=1e-6)
        self.proj_in = nn.Conv1d(channels, width, 1) if is_initial else nn.Linear(channels, width)
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(
                width,
                first=Attention(width, heads, "time"),
                second=Attention(width, heads, "clip" if config.clip_attention else "time"),
            )
            for _ in range(depth)
        )
        self.proj_out = zero_(nn.Conv1d(width, channels, 1) if is_initial else nn.Linear(width, channels))

    def forward(self, x: Float[Tensor, "bf c h w"], inputs: StageInputs) -> Float[Tensor, "bf c h w"]:
        """Residual update of every pixel's course in time; the norm's statistics are the whole clip's."""
        if not inputs.is_temporal:
            return x
        height = x.shape[2]
        tokens = self.norm(_frames_apart(x, inputs.num_frames))
        tokens = _project(self.proj_in, rearrange(tokens, "b c f h w -> b f (h w) c"))
        if self.has_position:
            tokens = tokens + self._position(inputs.frame_indices, height, x.shape[3], tokens)
        for block in self.transformer_blocks:
            tokens = block(tokens, inputs)
        return x + rearrange(_project(self.proj_out, tokens), "b f (h w) c -> (b f) c h w", h=height)

    def _position(self, frame_indices: Float[Tensor, "b f"], height: int, width: int, like: Tensor) -> Tensor:
        """Of the frame in all features; of frame, row and column in a half and two quarters if needed."""
        features = like.shape[-1]
        if not self.sees_clip:
            return rearrange(_embed_indices(frame_indices, features), "b f c -> b f 1 c").to(like.dtype)
        quarter = features // 4
        frames = rearrange(_embed_indices(frame_indices, features - 2 * quarter), "b f c -> b f 1 1 c")
        rows, columns = (torch.arange(count, device=like.device).float() for count in (height, width))
        rows, columns = sinusoidal_embedding(rows, quarter)[:, None], sinusoidal_embedding(columns, quarter)
        grid = (*frame_indices.shape, height, width, -1)
        position = torch.cat([part.expand(grid) for part in (frames, rows, columns)], dim=-1)
        return rearrange(position, "b f h w c -> b f (h w) c").to(like.dtype)


def _embed_indices(indices: Float[Tensor, "b f"], num_features: int) -> Float[Tensor, "b f c"]:
    return sinusoidal_embedding(indices.flatten(), num_features).unflatten(0, indices.shape)


class Downsample(nn.Module):
    """Half the height and width, by a strided convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Float[Tensor, "bf c h w"], inputs: StageInputs) -> Float[Tensor, "bf c h2 w2"]:
        """Every frame by itself."""
        return self.op(x)


class Upsample(nn.Module):
    """Twice the height and width: nearest neighbour, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "bf c h w"], inputs: StageInputs) -> Float[Tensor, "bf c h2 w2"]:
        """Every frame by itself."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Removed(nn.Module):
    """Stands where a part was removed, so that the parts beside it keep their published numbers."""

    def forward(self, x: Tensor, *_: object) -> Tensor:
        """``x`` as it is."""
        return x


class Stage(nn.ModuleList):
    """Blocks called one after another, ``input_blocks.i`` for example; an empty one is the identity.

    Hooks for feature matching belong here: there is a stage for every published name, removed or not.
    """

    def __init__(self, blocks: Iterable[nn.Module] = (), *, is_first: bool = False) -> None:
        super().__init__(blocks)
        self.is_first = is_first  # input_blocks.0: a convolution, which reads nothing but the activations

    def forward(
        self, x: Float[Tensor, "bf c h w"], inputs: StageInputs, checkpointed: bool = False
    ) -> Float[Tensor, "bf o h2 w2"]:
        """Call the blocks in order, each under activation checkpointing if asked."""
        for block in self:
            x = block(x) if self.is_first else call_checkpointed(block, x, inputs, enabled=checkpointed)
        return x


def _build_stage(plan: _StagePlan, config: UNet3DConfig) -> Stage:
    """The blocks of one residual stage, or none if the config removes it."""
    if plan.name in config.removed_blocks:
        return Stage()
    width = plan.out_channels
    if plan.resample == "down":
        return Stage([Downsample(width)])
    stage = Stage([ResBlock(plan.in_channels + plan.skip_channels, width, 4 * config.model_channels, config)])
    if plan.attention:
        stage.extend([SpatialTransformer(width, config), TemporalTransformer(width, config)])
    if plan.resample == "up":
        stage.append(Upsample(width))
    return stage


def _build_middle(config: UNet3DConfig) -> Stage:
    """ResBlock, spatial and temporal transformer, ResBlock; or nothing."""
    if "middle_block" in config.removed_blocks:
        return Stage()
    width, time_channels = config.channel_mult[-1] * config.model_channels, 4 * config.model_channels
    return Stage(
        [
            ResBlock(width, width, time_channels, config),
            SpatialTransformer(width, config),
            TemporalTransformer(width, config),
            ResBlock(width, width, time_channels, config),
        ]
    )


class FrameEmbedding(nn.Module):
    """What a frame's place in its clip means under this prompt: the product of the two, mapped linearly.

    Only both together say where a thing is: over all prompts no frame differs from another, over all frames
    no motion from another. Of a sum, a network learns that after thousands of steps, of a product after
    hundreds (docs/benchmarks.md).
    """

    def __init__(self, prompt_features: int, place_features: int, out_features: int) -> None:
        super().__init__()
        width = 4 * out_features
        self.place_features = place_features
        self.place = nn.Linear(2 * place_features, width)
        self.prompt = nn.Linear(prompt_features, width)
        self.out = zero_(nn.Linear(width, out_features))

    def forward(
        self,
        frame_indices: Float[Tensor, "b f"],
        clip_frames: Float[Tensor, " b"],
        prompts: Float[Tensor, "b d"],
    ) -> Float[Tensor, "b f e"]:
        """Of each frame, from its index, its share of the clip and the pooled prompt."""
        share = frame_indices / rearrange((clip_frames - 1).clamp(min=1), "b -> b 1")
        places = (_embed_indices(values, self.place_features) for values in (frame_indices, 100.0 * share))
        place = torch.cat(list(places), dim=-1).to(prompts.dtype)
        return self.out(self.place(place) * rearrange(self.prompt(prompts), "b e -> b 1 e"))


def _pooled_features(config: UNet3DConfig) -> int:
    return config.cross_attention_dim * max(1, config.prompt_queries)


def _two_layers(in_features: int, out_features: int) -> nn.Sequential:
    """Linear, SiLU, Linear."""
    return nn.Sequential(
        nn.Linear(in_features, out_features), nn.SiLU(), nn.Linear(out_features, out_features)
    )


class UNet3D(nn.Module):
    """The denoising network of VideoCrafter2, its pruned variants, and its small relatives.

    Reads ``cond.prompt_embeds`` always; ``cond.fps`` and ``cond.guidance_embeds`` if its config says so;
    ``cond.prompt_mask``, ``cond.frame_indices`` and ``cond.clip_frames`` if they are given.

    A fresh network has torch's default weights (uniform within 1 / sqrt(fan_in)), except zeros for the last
    layer of every residual branch, the output convolution, and what joins the time embedding beside the time.
    """

    def __init__(self, config: UNet3DConfig) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = config.gradient_checkpointing
        width, time_channels = config.model_channels, 4 * config.model_channels
        self.time_embed = _two_layers(width, time_channels)
        if config.fps_conditioning:
            self.fps_embedding = _two_layers(width, time_channels)
            zero_(self.fps_embedding[2])
        if config.guidance_embed_dim is not None:
            self.time_cond_proj = zero_(nn.Linear(config.guidance_embed_dim, width, bias=False))
        if config.motion_embed_dim is not None:
            self.motion_cond_proj = nn.Linear(config.motion_embed_dim, width, bias=False)
            self.combine_proj = zero_(nn.Linear(2 * width, width, bias=False))
        if config.pooled_prompt:
            self.prompt_pooling = _two_layers(_pooled_features(config), time_channels)
            zero_(self.prompt_pooling[2])
            if config.prompt_queries:
                self.prompt_scores = nn.Linear(config.cross_attention_dim, config.prompt_queries, bias=False)
                # sharp enough that every query starts with other words; near the mean they would stay alike
                nn.init.normal_(self.prompt_scores.weight, std=2 * config.cross_attention_dim**-0.5)
        if config.frame_embedding:
            self.frame_embedding = FrameEmbedding(_pooled_features(config), width, time_channels)
        first = Stage([nn.Conv2d(config.in_channels, width, 3, padding=1)], is_first=True)
        self.input_blocks = nn.ModuleList(
            [first, *(_build_stage(plan, config) for plan in _plan_input(config))]
        )
        if config.init_attention:
            self.init_attn = Stage([TemporalTransformer(width, config, is_initial=True)])
        self.middle_block = _build_middle(config)
        self.output_blocks = nn.ModuleList(_build_stage(plan, config) for plan in _plan_output(config))
        self.out = nn.Sequential(
            nn.GroupNorm(config.norm_groups, width),
            _silu(),
            zero_(nn.Conv2d(width, config.out_channels, 3, padding=1)),
        )
        for name in config.removed_blocks.intersection(prunable_parts(config)):
            self.set_submodule(name, Removed())

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights; activations follow it."""
        return next(self.parameters()).dtype

    def forward(
        self, latents: Float[Tensor, "b c f h w"], timesteps: Float[Tensor, " b"], cond: Conditioning
    ) -> Float[Tensor, "b o f h w"]:
        """Predict noise (or what the training asked for) in ``latents``.

        Args:
            latents: Noisy latents, any number of frames; height and width divisible by ``2^(levels - 1)``.
            timesteps: In [0, 1000) for the published schedule; one per clip.
            cond: See the class; ``prompt_mask`` True where a token counts.

        Returns:
            Prediction in the dtype of ``latents``.

        Raises:
            ValueError: A needed field of ``cond`` is None, a guidance scale would be ignored, or a size does
                not fit.
        """
        self._check(latents, cond)
        assert cond.prompt_embeds is not None
        num_frames = latents.shape[2]
        frame_indices = cond.frame_indices
        if frame_indices is None:
            frame_indices = torch.arange(num_frames, device=latents.device).float().expand(len(latents), -1)
        inputs = StageInputs(
            time_embeds=rearrange(self._embed_time(timesteps, cond, frame_indices), "b f e -> (b f) e"),
            prompt_embeds=cond.prompt_embeds.to(self.dtype),
            prompt_mask=cond.prompt_mask,
            frame_indices=frame_indices,
            is_temporal=num_frames > 1 or not self.config.skip_temporal_on_images,
        )
        x = rearrange(latents.to(self.dtype), "b c f h w -> (b f) c h w")
        x = x.contiguous(memory_format=torch.channels_last)
        x = self._run_stages(x, inputs)
        x = rearrange(self.out(x), "(b f) c h w -> b c f h w", f=latents.shape[2])
        return x.to(latents.dtype)

    def _run_stages(self, x: Tensor, inputs: StageInputs) -> Tensor:
        """Down, middle and up; every input stage leaves a skip for the output stage that mirrors it."""
        checkpointed = self.gradient_checkpointing
        skips: list[Tensor] = []
        for i, stage in enumerate(self.input_blocks):
            x = stage(x, inputs, checkpointed)
            if i == 0 and self.config.init_attention:
                x = self.init_attn(x, inputs, checkpointed)
            skips.append(x)
        x = self.middle_block(x, inputs, checkpointed)
        for stage in cast("Iterable[Stage]", self.output_blocks):
            skip = skips.pop()
            if len(stage):  # a removed stage drops its skip
                x = stage(torch.cat([x, skip], dim=1), inputs, checkpointed)
        return x

    def _embed_time(
        self, timesteps: Tensor, cond: Conditioning, frame_indices: Float[Tensor, "b f"]
    ) -> Float[Tensor, "b f e"]:
        """Time embedding and what joins it: guidance before the small network; fps, prompt, frame after."""
        width, dtype, num_frames = self.config.model_channels, self.dtype, frame_indices.shape[1]
        features = sinusoidal_embedding(timesteps, width).to(dtype)
        if self.config.guidance_embed_dim is not None:
            assert cond.guidance_embeds is not None
            features = features + self._embed_guidance(cond.guidance_embeds.to(dtype))
        time_embeds = self.time_embed(features)
        if self.config.fps_conditioning:
            assert cond.fps is not None
            time_embeds = time_embeds + self.fps_embedding(sinusoidal_embedding(cond.fps, width).to(dtype))
        if not self.config.pooled_prompt:
            return rearrange(time_embeds, "b e -> b 1 e").expand(-1, num_frames, -1)
        prompts = self._pool_prompt(cond, dtype)
        time_embeds = rearrange(time_embeds + self.prompt_pooling(prompts), "b e -> b 1 e")
        if not self.config.frame_embedding:
            return time_embeds.expand(-1, num_frames, -1)
        clip_frames = cond.clip_frames
        if clip_frames is None:
            clip_frames = frame_indices.new_full((len(frame_indices),), num_frames)
        return time_embeds + self.frame_embedding(frame_indices, clip_frames, prompts)

    def _pool_prompt(self, cond: Conditioning, dtype: torch.dtype) -> Tensor:
        """Weighted means of the embeddings of the tokens that count, one for each query, joined."""
        assert cond.prompt_embeds is not None
        embeds, mask = cond.prompt_embeds.to(dtype), cond.prompt_mask
        if self.config.prompt_queries:
            scores = self.prompt_scores(embeds)
        else:
            scores = embeds.new_zeros(*embeds.shape[:2], 1)
        if mask is not None:
            scores = scores.masked_fill(~mask[..., None], float("-inf"))
        return rearrange(scores.softmax(dim=1).mT @ embeds, "b q d -> b (q d)")

    def _embed_guidance(self, embeds: Tensor) -> Tensor:
        """Guidance scale alone, or merged with the motion weight where ``embeds`` holds that too."""
        scale, motion = embeds.tensor_split([self.config.guidance_embed_dim or 0], dim=1)
        scale = self.time_cond_proj(scale)
        return (
            self.combine_proj(torch.cat([scale, self.motion_cond_proj(motion)], 1))
            if motion.numel()
            else scale
        )

    def _check(self, latents: Tensor, cond: Conditioning) -> None:
        """Raise for what is missing or does not fit, before any arithmetic."""
        needed = {
            "prompt_embeds": True,
            "fps": self.config.fps_conditioning,
            "guidance_embeds": self.config.guidance_embed_dim is not None,
        }
        missing = [name for name, is_needed in needed.items() if is_needed and getattr(cond, name) is None]
        if missing:
            raise ValueError(
                f"this U-Net needs {', '.join(f'cond.{name}' for name in missing)}, which is None"
            )
        guidance, motion = self.config.guidance_embed_dim or 0, self.config.motion_embed_dim or 0
        width = 0 if cond.guidance_embeds is None else cond.guidance_embeds.shape[1]
        if width and not guidance:
            raise ValueError(
                "cond.guidance_embeds is given, and this U-Net has no guidance_embed_dim: leave it out"
            )
        if width and width not in (guidance, guidance + motion):
            raise ValueError(
                f"cond.guidance_embeds is {width} wide: use {guidance}"
                + (f", or {guidance + motion} with the motion weight" if motion else "")
            )
        if latents.shape[1] != self.config.in_channels:
            raise ValueError(f"latents have {latents.shape[1]} channels: use {self.config.in_channels}")
        factor = 2 ** (len(self.config.channel_mult) - 1)
        height, width = latents.shape[-2:]
        if height % factor or width % factor:
            raise ValueError(f"latents of {height}x{width} do not fit: use multiples of {factor}")
