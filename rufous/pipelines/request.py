"""What a generation is asked for: the model's defaults filled in, and every value checked before any work."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.diffusion.sampling import SamplingConfig, sampling_timesteps
from rufous.diffusion.schedules import make_schedule
from rufous.diffusion.solvers import SOLVERS
from rufous.networks.unet3d import UNet3DConfig
from rufous.networks.vae2d import AutoencoderKLConfig

MAX_NUM_FRAMES = 1000  # longer clips are made in pieces; memory and attention grow with the length
MAX_FPS = 1000.0


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """One call of a pipeline with nothing left open; see :func:`resolve_request`."""

    prompts: tuple[str, ...]
    negative_prompt: str
    num_frames: int
    height: int
    """Pixels."""
    width: int
    """Pixels."""
    fps: float
    """Frames per second that the network is told."""
    written_fps: float
    """Frames per second of the file: ``written_fps`` or ``fps`` of the call, or else of the release."""
    sampling: SamplingConfig
    embedded_guidance_scale: float | None
    """w of ``cond + w * (cond - uncond)`` for a network that embeds it; None for the others."""


def resolve_request(
    prompt: str | Sequence[str],
    *,
    diffusion: DiffusionConfig,
    unet: UNet3DConfig,
    autoencoder: AutoencoderKLConfig,
    negative_prompt: str | None = None,
    **options: Any,
) -> GenerationRequest:
    """Fill in the model's defaults for every option that is None, and check the result.

    Args:
        prompt: One or several; their texts are checked by ``prompts.check_prompt``.
        diffusion: The model's defaults, schedule included.
        unet: Which sizes and which guidance the network takes.
        autoencoder: Which sizes it takes.
        negative_prompt: What guidance moves away from; refused where there is no guidance.
        **options: ``num_frames``, ``height``, ``width``, ``fps``, ``written_fps``, and
            ``num_inference_steps``, ``guidance_scale``, ``guidance_rescale``, ``solver``, ``eta`` as in
            ``SamplingConfig``.

    Raises:
        ValueError: A value is out of range or does not fit the model; names it, what is allowed, what to do.
    """
    given = {name: value for name, value in options.items() if value is not None}
    solver = given.get("solver", diffusion.sampling.solver)
    if not isinstance(solver, str) or solver not in SOLVERS:
        raise ValueError(f"solver={solver!r} is unknown: use one of {', '.join(SOLVERS)}")
    _check_numbers(given)
    written_fps = given.pop("written_fps", given.get("fps", diffusion.written_fps or diffusion.fps))
    sizes = {name: given.pop(name, getattr(diffusion, name)) for name in _SIZES}
    prompts = _texts(prompt)
    negative_prompt = "" if negative_prompt is None else negative_prompt
    if not isinstance(negative_prompt, str):
        raise ValueError(f"negative_prompt={negative_prompt!r} is no text: pass one, for all prompts")
    _check_sizes(sizes, unet, autoencoder)
    _check_rate("written_fps", written_fps)
    sampling, weight = _resolve_guidance(given, diffusion, unet)
    if sampling.guidance_scale == 1.0:
        _check_unguided(
            {"negative_prompt": negative_prompt, "guidance_rescale": given.get("guidance_rescale")},
            is_embedded=weight is not None,
        )
    sampling_timesteps(make_schedule(diffusion.schedule), sampling)  # steps and spacing fit the schedule
    return GenerationRequest(
        prompts=prompts,
        written_fps=written_fps,
        negative_prompt=negative_prompt,
        sampling=sampling,
        embedded_guidance_scale=weight,
        **sizes,
    )


def size_factor(unet: UNet3DConfig, autoencoder: AutoencoderKLConfig) -> int:
    """Height and width in pixels must be multiples of this."""
    return autoencoder.vae_scale_factor_spatial * 2 ** (len(unet.channel_mult) - 1)


_SIZES = ("num_frames", "height", "width", "fps")
_NUMBERS = (*_SIZES, "written_fps", "num_inference_steps", "guidance_scale", "guidance_rescale", "eta")


def _resolve_guidance(
    given: dict[str, Any], diffusion: DiffusionConfig, unet: UNet3DConfig
) -> tuple[SamplingConfig, float | None]:
    """Sampling settings, and the w that a guidance-embedding network is told; it runs one pass a step."""
    if given.get("solver") not in (None, diffusion.sampling.solver):
        given = {"eta": 0.0, "final_level": "clean", **given}  # the release's belong to its own solver
    if unet.guidance_embed_dim is None:
        return replace(diffusion.sampling, **given), None
    default = diffusion.embedded_guidance_scale
    scale = given.pop(
        "guidance_scale", diffusion.sampling.guidance_scale if default is None else 1.0 + default
    )
    checked = SamplingConfig(guidance_scale=scale)  # the one place that says what a scale may be
    return replace(diffusion.sampling, **given, guidance_scale=1.0), checked.guidance_scale - 1.0


def _check_unguided(asked: dict[str, Any], *, is_embedded: bool) -> None:
    """Refuse what only a second pass would follow, since none is run."""
    for name, value in asked.items():
        if value:
            raise ValueError(
                f"{name}={value!r} has no meaning for this model, which embeds its guidance: leave it out"
                if is_embedded
                else f"{name}={value!r} has no effect, since guidance_scale is 1 (no guidance): "
                "leave it out, or use a larger guidance_scale"
            )


def _texts(prompt: object) -> tuple[str, ...]:
    """One prompt, or each of several."""
    if isinstance(prompt, str):
        return (prompt,)
    if not isinstance(prompt, Iterable):
        raise ValueError(f"prompt={prompt!r} is no text: pass one, or a list of them")
    texts = tuple(prompt)
    if not texts:
        raise ValueError("prompt=[] holds no prompt: pass one or more")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"prompt[{index}]={text!r} is no text: pass one, or a list of them")
    return texts


def _check_numbers(given: dict[str, Any]) -> None:
    for name in _NUMBERS:
        value = given.get(name, 0)
        if not isinstance(value, Real) or isinstance(value, bool):
            raise ValueError(f"{name}={value!r} is no number: pass one, or None for the model's own")


def _check_sizes(sizes: dict[str, Any], unet: UNet3DConfig, autoencoder: AutoencoderKLConfig) -> None:
    frames = sizes["num_frames"]
    if not _is_whole(frames) or not 1 <= frames <= MAX_NUM_FRAMES:
        raise ValueError(
            f"num_frames={frames} is out of range: use a whole number from 1 to {MAX_NUM_FRAMES}"
        )
    _check_rate("fps", sizes["fps"])
    factor = size_factor(unet, autoencoder)
    for name in ("height", "width"):
        size = sizes[name]
        if not _is_whole(size) or size < factor or size % factor:
            lower = max(factor, int(size) // factor * factor) if math.isfinite(size) else factor
            raise ValueError(
                f"{name}={size} does not fit this model: use a multiple of {factor}, "
                f"for example {lower} or {lower + factor}"
            )


def _check_rate(name: str, fps: float) -> None:
    if not 0 < fps <= MAX_FPS:  # NaN fails too
        raise ValueError(f"{name}={fps} is out of range: use a number above 0, up to {MAX_FPS:g}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
