"""Prompts in, clips out: encode the text, denoise latents, decode frames.

Shapes: b prompts sampled at once, c channels, f frames, h w height and width (latents or pixels).
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.checkpoints.manifest import Manifest
from rufous.core.devices import clock_s
from rufous.core.errors import ConfigError
from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.guidance import embed_guidance_scale
from rufous.diffusion.sampling import StepCallback, sample
from rufous.diffusion.schedules import make_schedule
from rufous.diffusion.solvers import standard_noise
from rufous.networks.text_encoders import TextEncoder
from rufous.networks.unet3d import UNet3D
from rufous.networks.vae2d import AutoencoderKL
from rufous.pipelines.estimate import Estimate, check_memory, estimate_generation
from rufous.pipelines.motion_guidance import with_motion_weight
from rufous.pipelines.prompts import Tokenizer, check_prompt, encode_prompts
from rufous.pipelines.request import GenerationRequest, resolve_request
from rufous.video.frames import to_uint8

OUTPUT_TYPES = ("uint8", "pt", "latent")
Stage = Literal["text", "denoise", "decode"]


@dataclass(frozen=True, kw_only=True)
class TextToVideoOutput:
    """What a pipeline returns; ``frames`` has one entry per prompt, in their order."""

    frames: list[Tensor]
    """uint8: UInt8 [f 3 h w]; pt: Float32 [f 3 h w] in [-1, 1]; latent: Float32 [c f h w], scaled."""
    fps: float
    """Frames per second at which the frames are to be shown."""
    seconds: dict[Stage, float]
    """Wall time of each stage, summed over the prompts."""
    request: GenerationRequest

    def each(self) -> "list[TextToVideoOutput]":
        """One output for each prompt, with an even share of the times."""
        share = {stage: value / len(self.frames) for stage, value in self.seconds.items()}
        return [
            replace(self, frames=[frames], seconds=share, request=replace(self.request, prompts=(prompt,)))
            for frames, prompt in zip(self.frames, self.request.prompts, strict=True)
        ]


@dataclass(frozen=True, kw_only=True, eq=False)
class TextToVideoPipeline:
    """The components of one release, and the call that turns prompts into clips.

    Holds no state between calls; all components are on one device. Networks compute in the dtype of their
    weights, the sampler in float32.
    """

    unet: UNet3D
    autoencoder: AutoencoderKL
    text_encoder: TextEncoder
    tokenizer: Tokenizer
    diffusion: DiffusionConfig
    manifest: Manifest

    def __post_init__(self) -> None:
        pairs = (
            (
                "channels of the latents",
                self.autoencoder.config.latent_channels,
                self.unet.config.in_channels,
            ),
            ("width of the text", self.text_encoder.config.width, self.unet.config.cross_attention_dim),
        )
        for what, made, read in pairs:
            if made != read:
                raise ConfigError(f"components do not fit: {what} {made}, but the U-Net reads {read}")
        if len(self.tokenizer) > self.text_encoder.config.vocab_size:
            raise ConfigError(
                f"components do not fit: the tokenizer has {len(self.tokenizer)} words, "
                f"the text encoder {self.text_encoder.config.vocab_size}"
            )

    @property
    def device(self) -> torch.device:
        """Where the components are."""
        return next(self.unet.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Of the U-Net's weights."""
        return self.unet.dtype

    def resolve(self, prompt: str | Sequence[str], **options: object) -> GenerationRequest:
        """The request that a call with these arguments makes, checked but not run; see ``resolve_request``.

        Raises:
            ValueError: As ``__call__``.
        """
        request = resolve_request(
            prompt,
            diffusion=self.diffusion,
            unet=self.unet.config,
            autoencoder=self.autoencoder.config,
            **options,  # type: ignore[arg-type]
        )
        context_length = self.text_encoder.config.context_length
        for text in request.prompts:
            check_prompt(text, self.tokenizer, context_length)
        check_prompt(request.negative_prompt, self.tokenizer, context_length, may_be_empty=True)
        return request

    def estimate(self, request: GenerationRequest, *, batch_size: int = 1) -> Estimate:
        """Predicted memory and operations of one batch of a request."""
        return estimate_generation(
            request,
            unet=self.unet,
            autoencoder=self.autoencoder,
            text_encoder=self.text_encoder,
            batch_size=batch_size,
        )

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        *,
        negative_prompt: str | None = None,
        num_frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        fps: float | None = None,
        written_fps: float | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        guidance_rescale: float | None = None,
        solver: str | None = None,
        eta: float | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        callback_on_step_end: StepCallback | None = None,
        on_stage: Callable[[Stage], None] = lambda _: None,
        output_type: str = "uint8",
        batch_size: int = 1,
    ) -> TextToVideoOutput:
        """Generate one clip per prompt; every option that is None takes the model's default.

        Args:
            prompt: One or several texts.
            negative_prompt: What guidance moves away from; empty for plain classifier-free guidance. Refused,
                as ``guidance_rescale`` is, where the scale is 1 or embedded, since it would change nothing.
            num_frames: Length of the clip.
            height: Pixels.
            width: Pixels.
            fps: Frames per second that the network is told, which decides how fast things move; handed back
                for the file, unless ``written_fps`` is given.
            written_fps: Frames per second of the file alone; the network does not see it.
            num_inference_steps: Network evaluations per clip (twice as many passes with guidance).
            guidance_scale: g of ``uncond + g * (cond - uncond)``; a network that embeds its guidance is told
                ``g - 1`` and runs one pass a step.
            guidance_rescale: 0 (off) to 1.
            solver: A key of ``rufous.diffusion.SOLVERS``.
            eta: Fresh noise of ddim, 0 (deterministic) to 1.
            generator: One for all prompts or one per prompt, on any device; one number is drawn from it for
                each prompt. The i-th clip does not depend on how many follow. None: a fresh seed.
            callback_on_step_end: ``callback(step, timestep, latents, pred_x0)`` after each step of a batch;
                raise ``rufous.diffusion.Cancelled`` in it to stop.
            on_stage: Called with ``"text"``, ``"denoise"`` and ``"decode"`` as each begins, for every batch.
            output_type: ``"uint8"`` for files, ``"pt"`` for [-1, 1] (in diffusers [0, 1]), ``"latent"`` to
                leave out the decoder.
            batch_size: Prompts sampled at once. Rounding may differ between batch sizes; nothing else does.

        Raises:
            ValueError: A value is out of range or does not fit the model, or the predicted memory exceeds
                what is free.
            FloatingPointError: The latents became NaN or infinite.
        """
        # 1. settle and check everything before any work
        request = self.resolve(
            prompt,
            negative_prompt=negative_prompt,
            num_frames=num_frames,
            height=height,
            width=width,
            fps=fps,
            written_fps=written_fps,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            guidance_rescale=guidance_rescale,
            solver=solver,
            eta=eta,
        )
        _check_output(output_type, batch_size, callback_on_step_end)
        estimate = self.estimate(request, batch_size=min(batch_size, len(request.prompts)))
        check_memory(estimate, request, self.device)
        generators = _one_per_prompt(generator, len(request.prompts))
        seconds: dict[Stage, float] = dict.fromkeys(("text", "denoise", "decode"), 0.0)
        frames: list[Tensor] = []
        for indices in _batches(len(request.prompts), batch_size):
            # 2. encode the prompts, and the empty or negative one
            on_stage("text")
            with _timed(seconds, "text", self.device):
                cond, uncond = self._encode([request.prompts[i] for i in indices], request)
            # 3. denoise
            on_stage("denoise")
            with _timed(seconds, "denoise", self.device):
                latents = self._denoise(
                    request, cond, uncond, [generators[i] for i in indices], callback_on_step_end
                )
            # 4. decode
            on_stage("decode")
            with _timed(seconds, "decode", self.device):
                frames += self._decode(latents, output_type)
        return TextToVideoOutput(frames=frames, fps=request.written_fps, seconds=seconds, request=request)

    def _encode(
        self, prompts: list[str], request: GenerationRequest
    ) -> tuple[Conditioning, Conditioning | None]:
        """Conditioning of the prompts, and of the negative prompt if guidance needs a second pass."""
        needs_uncond = request.sampling.guidance_scale != 1.0
        texts = [*prompts, request.negative_prompt] if needs_uncond else prompts
        encoded = encode_prompts(texts, self.tokenizer, self.text_encoder)
        num_prompts = len(prompts)
        fps = torch.full((num_prompts,), request.fps, device=self.device)
        cond = replace(encoded[:num_prompts], fps=fps, guidance_embeds=self._guidance(request, num_prompts))
        if not needs_uncond:
            return cond, None
        negative = encoded[num_prompts:].map(lambda x: x.expand(num_prompts, *x.shape[1:]))
        return cond, replace(negative, fps=fps)

    def _guidance(self, request: GenerationRequest, num_prompts: int) -> Float[Tensor, "b g"] | None:
        dim = self.unet.config.guidance_embed_dim
        if dim is None or request.embedded_guidance_scale is None:
            return None
        weight = torch.tensor([request.embedded_guidance_scale], device=self.device)
        return repeat(embed_guidance_scale(weight, dim), "1 g -> b g", b=num_prompts)

    def _denoise(
        self,
        request: GenerationRequest,
        cond: Conditioning,
        uncond: Conditioning | None,
        generators: list[torch.Generator],
        callback: StepCallback | None,
    ) -> Float[Tensor, "b c f h w"]:
        schedule = make_schedule(self.diffusion.schedule)
        network = with_motion_weight(self.unet, self.diffusion)
        denoiser = Denoiser(network, schedule, self.diffusion.prediction_type)
        factor = self.autoencoder.config.vae_scale_factor_spatial
        shape = (
            len(generators),
            self.unet.config.in_channels,
            request.num_frames,
            request.height // factor,
            request.width // factor,
        )
        noise = standard_noise(shape, generators).to(self.device)
        return sample(
            denoiser,
            noise,
            cond,
            uncond,
            request.sampling,
            generator=generators,
            callback_on_step_end=callback,
        )

    def _decode(self, latents: Float[Tensor, "b c f h w"], output_type: str) -> list[Tensor]:
        """One entry per clip; clips are decoded one after another, and frames in the decoder's slices."""
        if output_type == "latent":
            return list(latents)
        clips: list[Tensor] = []
        for clip in latents.split(1):
            video = self.autoencoder.decode_video(clip)
            if output_type == "pt":
                clips.append(rearrange(video.float().clamp(-1.0, 1.0), "1 c f h w -> f c h w"))
            else:
                clips.append(rearrange(to_uint8(video), "1 c f h w -> f c h w"))
        return clips


def _check_output(output_type: object, batch_size: object, callback: object) -> None:
    if output_type not in OUTPUT_TYPES:
        raise ValueError(f"output_type={output_type!r} is unknown: use one of {', '.join(OUTPUT_TYPES)}")
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        raise ValueError(f"batch_size={batch_size!r} is out of range: use a whole number from 1")
    if callback is not None and not callable(callback):
        raise ValueError(f"callback_on_step_end={callback!r} cannot be called: pass a function, or None")


def _one_per_prompt(generator: object, count: int) -> list[torch.Generator]:
    """CPU generators, each seeded by one draw: a clip depends neither on the batch nor on the device."""
    if generator is None:
        generator = torch.Generator()
        generator.seed()
    if isinstance(generator, torch.Generator):
        generator = [generator] * count
    if not isinstance(generator, Sequence) or not all(
        isinstance(each, torch.Generator) for each in generator
    ):
        raise ValueError(
            f"generator={generator!r} is none: pass torch.Generator().manual_seed(0), or one per prompt"
        )
    parents: Sequence[torch.Generator] = generator
    if len(parents) != count:
        raise ValueError(f"{len(parents)} generators do not fit {count} prompts: pass one, or one per prompt")
    seeds = [torch.randint(2**62, (1,), generator=each, device=each.device).item() for each in parents]
    return [torch.Generator().manual_seed(int(seed)) for seed in seeds]


def _batches(count: int, size: int) -> Iterator[list[int]]:
    indices = iter(range(count))
    while batch := list(itertools.islice(indices, size)):
        yield batch


@contextmanager
def _timed(seconds: dict[Stage, float], stage: Stage, device: torch.device) -> Iterator[None]:
    """Add the wall time of the block to ``seconds[stage]``; a GPU is waited for."""
    start = clock_s(device)
    yield
    seconds[stage] += clock_s(device) - start
