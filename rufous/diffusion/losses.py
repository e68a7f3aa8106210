"""Losses with one value per sample, so that samples can be weighted before the mean; all in float32."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rufous.diffusion.prediction import PREDICTION_TYPES, PredictionType

HUBER_C = 0.001  # LCM, T2V-Turbo, Hummingbird


def mse(
    pred: Float[Tensor, "b c f h w"],
    target: Float[Tensor, "b c f h w"],
    *,
    frame_mask: Bool[Tensor, "b f"] | None = None,
) -> Float[Tensor, " b"]:
    """Mean squared error of each sample, over the frames where ``frame_mask`` is True (None: all).

    A sample whose mask is all False has no loss and gives NaN; the mask sampler must not draw one.
    """
    return mean_per_sample((pred.float() - target.float()) ** 2, frame_mask=frame_mask)


def pseudo_huber(
    pred: Float[Tensor, "b c f h w"],
    target: Float[Tensor, "b c f h w"],
    *,
    c: float = HUBER_C,
    frame_mask: Bool[Tensor, "b f"] | None = None,
) -> Float[Tensor, " b"]:
    """Mean over each sample of ``sqrt(d^2 + c^2) - c``, ``d = pred - target``.

    Squared error for differences far below ``c``, absolute error far above. Computed without cancellation, as
    ``d^2 / (sqrt(d^2 + c^2) + c)``.

    Raises:
        ValueError: ``c`` is not positive.

    Source: Song and Dhariwal 2023 (arXiv:2310.14189), section 3.3; c = 0.001 as in LCM (arXiv:2310.04378).
    """
    if not c > 0.0:
        raise ValueError(f"c={c} is not positive: use for example 0.001")
    squared = (pred.float() - target.float()) ** 2
    return mean_per_sample(squared / ((squared + c**2).sqrt() + c), frame_mask=frame_mask)


def mean_per_sample(
    values: Float[Tensor, "b c f h w"], *, frame_mask: Bool[Tensor, "b f"] | None = None
) -> Float[Tensor, " b"]:
    """Mean of each sample over the frames where ``frame_mask`` is True; NaN where there are none."""
    if frame_mask is None:
        return values.mean(dim=(1, 2, 3, 4))
    per_frame = values.mean(dim=(1, 3, 4))  # b f
    return torch.where(frame_mask, per_frame, 0.0).sum(dim=1) / frame_mask.sum(dim=1)


def carried(
    loss: Float[Tensor, ""], seen: Float[Tensor, "b c f h w"], made: Float[Tensor, "b c f h w"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """A term's gradient taken now and handed on, so that its activations are gone before the backward pass
    that goes further, and no network that it ran through gets a gradient.

    Args:
        loss: Of ``seen``.
        seen: ``made.detach()`` with gradients.
        made: What is trained.

    Returns:
        The loss, whose only gradient is that of ``seen``, in ``made``; and its pull, the norm of that
        gradient in one clip, on average.
    """
    (gradient,) = torch.autograd.grad(loss, seen)
    handed_on = loss.detach() + ((made - made.detach()) * gradient).sum()
    return handed_on, gradient.flatten(1).norm(dim=1).mean()


def min_snr_weight(
    log_snr: Float[Tensor, " b"], prediction_type: PredictionType, *, gamma: float = 5.0
) -> Float[Tensor, " b"]:
    """Weight of each sample's squared error in the network's output: that of x0 by ``min(SNR, gamma)``.

    ============  =============================
    sample        min(SNR, gamma)
    epsilon       min(SNR, gamma) / SNR
    v_prediction  min(SNR, gamma) / (SNR + 1)
    flow          min(SNR, gamma) / (sqrt(SNR) + 1)^2
    ============  =============================

    The last follows from ``d x0 = sigma / (alpha + sigma) * d output``; the paper has the others.

    Args:
        log_snr: ``schedule.log_snr(timesteps)``.
        prediction_type: What the network outputs.
        gamma: Largest weight of x0's error; 5 is the paper's.

    Raises:
        ValueError: ``gamma`` is not positive, or an unknown prediction type.

    Source: Hang et al. 2023 (arXiv:2303.09556), section 3.4.
    """
    if not gamma > 0.0:
        raise ValueError(f"gamma={gamma} is not positive: use for example 5")
    snr = log_snr.float().exp()
    capped = snr.clamp(max=gamma)
    if prediction_type == "sample":
        return capped
    if prediction_type == "epsilon":
        return torch.where(snr > 0.0, capped / snr, 1.0)
    if prediction_type == "v_prediction":
        return capped / (snr + 1.0)
    if prediction_type == "flow_prediction":
        return capped / (snr.sqrt() + 1.0) ** 2
    raise ValueError(
        f"prediction_type={prediction_type!r} is unknown: use one of {', '.join(PREDICTION_TYPES)}"
    )
