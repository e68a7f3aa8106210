"""diffusers' text-to-video pipelines with random weights as workloads; needs the extra ``diffusers``.

The pipelines do as they do by default: guidance in one call of two clips, and frames decoded 16 at a time or
all at once. Prompts are token ids already, since no vocabulary is at hand; the file is written by our writer.

Shapes: b batch, c channels, f frames, h w height and width (latents or pixels), s text tokens.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from rufous.core.devices import clock_s, default_dtype
from rufous.core.optional import require
from rufous.evaluation.benchmark.flop_counter import count_flop
from rufous.evaluation.benchmark.rows import DiffusersArchitecture
from rufous.evaluation.benchmark.workload import ClipPlan, OnStage, Seconds, Stage, Workload
from rufous.networks.cost import parameter_bytes
from rufous.networks.layers import fill_zeros_
from rufous.video.frames import to_uint8
from rufous.video.write import write_video

UNETS = {"TextToVideoSDPipeline": "UNet3DConditionModel", "AnimateDiffPipeline": "UNetMotionModel"}
"""The denoising network's class in diffusers, by the pipeline's."""
_SCHEDULERS = {"ddim": "DDIMScheduler", "lcm": "LCMScheduler"}


def import_classes(architecture: DiffusersArchitecture) -> None:
    """Import all that the pipeline needs, which takes seconds and belongs to a cold start.

    Raises:
        MissingDependencyError: diffusers is not installed.
    """
    diffusers = require("diffusers", extra="diffusers")
    scheduler = _SCHEDULERS[architecture.diffusion.sampling.solver]
    for name in (architecture.pipeline, UNETS[architecture.pipeline], "AutoencoderKL", scheduler):
        getattr(diffusers, name)  # diffusers imports a class when it is first asked for


def load_networks(
    architecture: DiffusersArchitecture, *, device: torch.device, dtype: torch.dtype
) -> dict[str, nn.Module]:
    """The networks with their classes' initial weights, made in place: ``unet``, ``vae``, ``text_encoder``.

    Raises:
        MissingDependencyError: diffusers is not installed.
    """
    diffusers = require("diffusers", extra="diffusers")
    from transformers import CLIPTextConfig, CLIPTextModel

    with device, default_dtype(dtype):
        networks: dict[str, nn.Module] = {
            "unet": getattr(diffusers, UNETS[architecture.pipeline])(**architecture.unet),
            "vae": diffusers.AutoencoderKL(**architecture.autoencoder),
            "text_encoder": CLIPTextModel(CLIPTextConfig(**architecture.text_encoder)),
        }
    for network in networks.values():
        network.eval().requires_grad_(False)
        if device.type != "meta":
            fill_zeros_(network)
    return networks


def diffusers_workload(
    architecture: DiffusersArchitecture,
    plan: ClipPlan,
    networks: Mapping[str, nn.Module],
    flop: Mapping[str, float],
    *,
    device: torch.device,
    folder: Path,
) -> Workload:
    """A pipeline of these networks, as a workload.

    Args:
        architecture: What the networks are.
        plan: The clip; its size fits the networks.
        networks: Of ``load_networks``.
        flop: Of ``clip_flop``.
        device: Where the networks are.
        folder: Where clips are written.
    """
    runner = _Runner(architecture, plan, networks, device, folder)
    return Workload(
        make_clip=lambda on_stage: runner.round(on_stage, whole=True),
        make_calls=lambda on_stage: runner.round(on_stage, whole=False),
        calls={"text": 1, "denoise": plan.num_inference_steps, "decode": plan.num_frames, "write": 1},
        plan=plan,
        network_calls_per_step=1,
        flop={stage: flop[stage] for stage in ("text", "denoise", "decode")},
        parameters={
            "unet": _num_parameters(networks["unet"]),
            "autoencoder": _num_parameters(networks["vae"]),
            "text_encoder": _num_parameters(networks["text_encoder"]),
        },
        unet_bytes=parameter_bytes(networks["unet"]),
        tokens={
            "latent": plan.num_frames * plan.height * plan.width // _factor(networks) ** 2,
            "text": _context_length(networks),
        },
    )


def clip_flop(architecture: DiffusersArchitecture, plan: ClipPlan) -> dict[str, float]:
    """Operations of a whole clip by stage, counted on networks that hold no numbers."""
    device = torch.device("meta")
    networks = load_networks(architecture, device=device, dtype=torch.float32)
    unet: Any = networks["unet"]
    vae: Any = networks["vae"]
    height, width = plan.height // _factor(networks), plan.width // _factor(networks)
    latents = torch.empty(1, unet.config.in_channels, plan.num_frames, height, width, device=device)
    per_frame = architecture.pipeline == "AnimateDiffPipeline"
    ids = torch.zeros(1, _context_length(networks), dtype=torch.long, device=device)
    text = torch.empty(
        plan.num_frames if per_frame else 1, ids.shape[1], unet.config.cross_attention_dim, device=device
    )
    timestep = torch.zeros((), device=device)
    a_pass = count_flop(lambda: unet(latents, timestep, encoder_hidden_states=text))
    return {
        "text": count_flop(lambda: networks["text_encoder"](ids)) * plan.passes_per_step,
        "denoise": a_pass * plan.passes_per_step * plan.num_inference_steps,
        "decode": count_flop(lambda: vae.decode(latents[:, :, 0])) * plan.num_frames,
    }


class _Runner:
    """A pipeline, and the stages of its clips timed one by one."""

    def __init__(
        self,
        architecture: DiffusersArchitecture,
        plan: ClipPlan,
        networks: Mapping[str, nn.Module],
        device: torch.device,
        folder: Path,
    ) -> None:
        diffusers = require("diffusers", extra="diffusers")
        scheduler = getattr(diffusers, _SCHEDULERS[architecture.diffusion.sampling.solver])(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False
        )
        absent = {"motion_adapter": None} if architecture.pipeline == "AnimateDiffPipeline" else {}
        self.pipe = getattr(diffusers, architecture.pipeline)(
            **networks, tokenizer=None, scheduler=scheduler, **absent
        )
        self.pipe.set_progress_bar_config(disable=True)
        self.plan, self.networks, self.device, self.folder = plan, networks, device, folder

    @torch.no_grad()
    def round(self, on_stage: OnStage, *, whole: bool) -> Seconds:
        """A whole clip, or one call of each stage."""
        plan, seconds = self.plan, Seconds()
        with self._stage("text", seconds, on_stage):
            embeds = self._encode()
        with self._stage("denoise", seconds, on_stage):
            latents = self._denoise(embeds, plan.num_inference_steps if whole else 1)
        with self._stage("decode", seconds, on_stage):
            video = self.pipe.decode_latents(latents if whole else latents[:, :, :1])
            frames = rearrange(to_uint8(video.float()), "1 c f h w -> f c h w")
        on_stage("write")
        return {**seconds, "write": write_timed(frames, plan, self.folder)}

    @contextlib.contextmanager
    def _stage(self, stage: Stage, seconds: Seconds, on_stage: OnStage) -> Iterator[None]:
        on_stage(stage)
        start = clock_s(self.device)
        yield
        seconds[stage] = clock_s(self.device) - start

    def _encode(self) -> list[Float[Tensor, "1 s d"]]:
        """Embeddings of the prompt, and of the empty one with guidance."""
        encoder: Any = self.networks["text_encoder"]
        ids = torch.arange(_context_length(self.networks), device=self.device)[None] + 1
        both = encoder(ids.expand(self.plan.passes_per_step, -1))[0]
        return list(both.split(1))

    def _denoise(self, embeds: list[Tensor], steps: int) -> Float[Tensor, "b c f h w"]:
        """Latents out of the pipeline's own call."""
        plan = self.plan
        return self.pipe(
            prompt_embeds=embeds[0],
            negative_prompt_embeds=embeds[1] if len(embeds) > 1 else None,
            num_frames=plan.num_frames,
            height=plan.height,
            width=plan.width,
            num_inference_steps=steps,
            guidance_scale=plan.guidance_scale,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
        ).frames


def write_timed(frames: Tensor, plan: ClipPlan, folder: Path) -> float:
    """Seconds of writing a clip as .mp4; fewer frames than the plan's are repeated, each moved by a pixel.

    Args:
        frames: UInt8 [f 3 h w], any number from 1.
        plan: Length and rate.
        folder: Where the file goes, and is replaced.
    """
    missing = range(plan.num_frames - len(frames))
    moved = [frames[i % len(frames)].roll(i + 1, dims=-1) for i in missing]
    clip = torch.cat([frames, torch.stack(moved)]) if moved else frames
    with tempfile.TemporaryDirectory(dir=folder) as place:
        start = clock_s(frames.device)
        write_video(Path(place) / "clip.mp4", clip, fps=plan.fps)
        return clock_s(frames.device) - start


def _factor(networks: Mapping[str, nn.Module]) -> int:
    vae: Any = networks["vae"]
    return 2 ** (len(vae.config.block_out_channels) - 1)


def _context_length(networks: Mapping[str, nn.Module]) -> int:
    text: Any = networks["text_encoder"]
    return text.config.max_position_embeddings


def _num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
