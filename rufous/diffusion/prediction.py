"""What a network's output says about the clean latents and the noise, and the target it is trained on.

With ``z = rescale * x0`` (``rescale`` is 1 without VideoCrafter2's dynamic rescale) and
``x = alpha * z + sigma * epsilon``:

==================  ======================================  =======================================
prediction type     output                                  source
==================  ======================================  =======================================
epsilon             ``epsilon``                             arXiv:2006.11239
v_prediction        ``alpha * epsilon - sigma * z``         Salimans and Ho 2022 (arXiv:2202.00512)
sample              ``x0``                                  arXiv:2202.00512, "x-prediction"
flow_prediction     ``z - epsilon`` (towards the data)      Open-Sora 1.2 (arXiv:2412.20404)
==================  ======================================  =======================================

Trap: SD3, Flux and diffusers' flow matching have the opposite sign, ``epsilon - x0``.
The formulas below hold for any alpha and sigma, so every type works with every schedule.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

PredictionType = Literal["epsilon", "v_prediction", "sample", "flow_prediction"]
PREDICTION_TYPES: tuple[str, ...] = get_args(PredictionType)


@dataclass(frozen=True)
class Prediction:
    """Estimates of the clean latents and of the noise that together explain the noisy latents."""

    x0: Float[Tensor, "b c f h w"]
    epsilon: Float[Tensor, "b c f h w"]


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """alpha, sigma and rescale of each sample, shaped to multiply latents."""

    alpha: Float[Tensor, "b 1 1 1 1"]
    sigma: Float[Tensor, "b 1 1 1 1"]
    rescale: Float[Tensor, "b 1 1 1 1"]


def prediction_from_output(
    output: Float[Tensor, "b c f h w"],
    latents: Float[Tensor, "b c f h w"],
    prediction_type: PredictionType,
    at: Coefficients,
) -> Prediction:
    """Clean latents and noise from the output at noisy ``latents``; inverse of :func:`training_target`.

    ``epsilon`` cannot be read where alpha is 0 (:class:`~rufous.diffusion.denoiser.Denoiser` refuses such a
    schedule). Where sigma is 0 the noise is undetermined: a ``sample`` output then gives epsilon = 0.

    Raises:
        ValueError: An unknown prediction type.
    """
    alpha, sigma = at.alpha, at.sigma
    if prediction_type == "epsilon":
        return Prediction((latents - sigma * output) / (alpha * at.rescale), output)
    if prediction_type == "v_prediction":
        norm = alpha**2 + sigma**2  # 1 for a variance-preserving schedule
        z = (alpha * latents - sigma * output) / norm
        return Prediction(z / at.rescale, (sigma * latents + alpha * output) / norm)
    if prediction_type == "flow_prediction":
        norm = alpha + sigma  # 1 for rectified flow
        z = (latents + sigma * output) / norm
        return Prediction(z / at.rescale, (latents - alpha * output) / norm)
    if prediction_type == "sample":
        noise = latents - alpha * at.rescale * output
        has_noise = sigma > 0
        return Prediction(output, torch.where(has_noise, noise / torch.where(has_noise, sigma, 1.0), 0.0))
    raise ValueError(_unknown(prediction_type))


def training_target(
    x0: Float[Tensor, "b c f h w"],
    noise: Float[Tensor, "b c f h w"],
    prediction_type: PredictionType,
    at: Coefficients,
) -> Float[Tensor, "b c f h w"]:
    """What the network should output for latents made of ``x0`` and ``noise``; the table above has the rule.

    Raises:
        ValueError: An unknown prediction type.
    """
    if prediction_type == "epsilon":
        return noise
    if prediction_type == "v_prediction":
        return at.alpha * noise - at.sigma * at.rescale * x0
    if prediction_type == "flow_prediction":
        return at.rescale * x0 - noise
    if prediction_type == "sample":
        return x0
    raise ValueError(_unknown(prediction_type))


def _unknown(prediction_type: str) -> str:
    return f"prediction_type={prediction_type!r} is unknown: use one of {', '.join(PREDICTION_TYPES)}"
