"""Noise schedules: how much signal and how much noise there is at each timestep.

Everything in the package follows one equation, for every schedule::

    x_t = alpha(t) * rescale(t) * x0 + sigma(t) * epsilon

``VPSchedule`` keeps ``alpha^2 + sigma^2 = 1`` and has one entry per training timestep (whole numbers);
``RectifiedFlowSchedule`` is the straight line ``alpha = 1 - t/T``, ``sigma = t/T`` in continuous time.
``rescale`` is VideoCrafter2's dynamic rescale and is 1 unless asked for. Tables are computed in float64.
"""

import functools
import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

ScheduleKind = Literal["scaled_linear", "linear", "cosine", "rectified_flow"]

RESCALE_FRACTION = 0.4  # VideoCrafter2 lowers the rescale over the first 400 of its 1000 timesteps


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """What fixes a noise schedule; stored with every checkpoint, since weights fit one schedule only."""

    kind: ScheduleKind = "scaled_linear"
    """scaled_linear: SD, VideoCrafter2; linear: AnimateDiff, AnimateLCM; rectified_flow: Open-Sora."""
    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    """Variance added at the first timestep; read by the two linear kinds."""
    beta_end: float = 0.012
    """Variance added at the last timestep; read by the two linear kinds. AnimateLCM-I2V uses 0.014."""
    noise_shift: float = 1.0
    """Divides the SNR by its square (arXiv:2301.11093, eq. 4): above 1 for redundant data such as video."""
    rescale_zero_terminal_snr: bool = False
    """Make the last timestep pure noise (arXiv:2305.08891); not for epsilon prediction."""
    dynamic_rescale: float | None = None
    """Floor of VideoCrafter2's factor on x0 (0.7 there), reached after 40 % of the timesteps; None: off."""

    def __post_init__(self) -> None:
        if self.num_train_timesteps < 2:
            raise ValueError(f"num_train_timesteps={self.num_train_timesteps} is too small: use 2 or more")
        if not 0.0 < self.beta_start <= self.beta_end < 1.0:
            raise ValueError(
                f"beta_start={self.beta_start}, beta_end={self.beta_end} is no schedule: "
                "use 0 < beta_start <= beta_end < 1, for example 0.00085 and 0.012"
            )
        if not 0.0 < self.noise_shift < math.inf:
            raise ValueError(
                f"noise_shift={self.noise_shift} is out of range: use a positive number, 1 for none"
            )
        if self.dynamic_rescale is not None and not 0.0 < self.dynamic_rescale <= 1.0:
            raise ValueError(
                f"dynamic_rescale={self.dynamic_rescale} is out of range: use 0 < floor <= 1 or None; "
                "VideoCrafter2 has 0.7"
            )
        if self.kind == "rectified_flow" and (
            self.rescale_zero_terminal_snr or self.dynamic_rescale is not None or self.noise_shift != 1.0
        ):
            raise ValueError(
                "kind='rectified_flow' has no rescale_zero_terminal_snr, dynamic_rescale or noise_shift: "
                "omit them"
            )


@dataclass(frozen=True, kw_only=True)
class NoiseLevel:
    """One point of a schedule, in plain (float64) numbers: what a solver goes from and to."""

    alpha: float
    sigma: float
    rescale: float
    timestep: float

    @property
    def signal(self) -> float:
        """Factor on x0, ``alpha * rescale``."""
        return self.alpha * self.rescale

    @property
    def half_log_snr(self) -> float:
        """``log(signal / sigma)``, called lambda in DPM-Solver; infinite at pure noise and at clean data."""
        if self.sigma == 0.0:
            return math.inf
        return -math.inf if self.signal == 0.0 else math.log(self.signal / self.sigma)


@dataclass(frozen=True)
class VPSchedule:
    """Variance-preserving schedule with a table entry for each timestep 0 .. T-1; clean data is timestep -1.

    Timesteps are whole numbers held as floats. A fractional or negative one (but -1) gives NaN, not an error:
    a check of tensor values would stall a GPU at each step, and NaN stops every loop of this project by name.

    Sources: Ho et al. 2020 (arXiv:2006.11239), betas; Nichol and Dhariwal 2021 (arXiv:2102.09672), cosine;
    Lin et al. 2023 (arXiv:2305.08891), zero terminal SNR; VideoCrafter2 (arXiv:2401.09047), dynamic rescale.
    """

    config: ScheduleConfig

    def __post_init__(self) -> None:
        if self.config.kind == "rectified_flow":
            raise ValueError(
                "kind='rectified_flow' is not variance preserving: use make_schedule or RectifiedFlowSchedule"
            )

    @property
    def num_train_timesteps(self) -> int:
        """T, the number of table entries."""
        return self.config.num_train_timesteps

    @property
    def clean_timestep(self) -> float:
        """-1: timestep 0 already carries a little noise."""
        return -1.0

    @property
    def reaches_pure_noise(self) -> bool:
        """Whether the terminal SNR is zero."""
        return self.config.rescale_zero_terminal_snr

    def alpha(self, timesteps: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """``sqrt(alphas_cumprod)``, in [0, 1]."""
        return self._look_up("alpha", timesteps)

    def sigma(self, timesteps: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """``sqrt(1 - alphas_cumprod)``, in (0, 1]."""
        return self._look_up("sigma", timesteps)

    def rescale(self, timesteps: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """1 falling linearly to the floor over the first 40 % of the timesteps, then the floor."""
        return self._look_up("rescale", timesteps)

    def log_snr(self, timesteps: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """``log((alpha * rescale)^2 / sigma^2)``; -inf at zero terminal SNR."""
        return self._look_up("log_snr", timesteps)

    def level(self, timestep: float) -> NoiseLevel:
        """Noise level of a whole timestep in 0 .. T-1, or of clean data at -1.

        Raises:
            ValueError: The timestep is fractional or out of range.
        """
        if timestep not in range(-1, self.num_train_timesteps):
            raise ValueError(
                f"timestep={timestep} is not in the table: use a whole number from 0 to "
                f"{self.num_train_timesteps - 1}, or -1 for clean data"
            )
        tables = _tables(self.config)
        alpha, sigma, rescale = (
            float(tables[name][int(timestep) + 1]) for name in ("alpha", "sigma", "rescale")
        )
        return NoiseLevel(alpha=alpha, sigma=sigma, rescale=rescale, timestep=float(timestep))

    def _look_up(self, name: str, timesteps: Tensor) -> Tensor:
        index = timesteps.long() + 1
        values = _table_on(self.config, name, timesteps.device)[index]
        return torch.where((timesteps + 1 == index) & (index >= 0), values, torch.nan)


@dataclass(frozen=True)
class RectifiedFlowSchedule:
    """Straight line from data (t = 0) to noise (t = T): alpha = 1 - t/T, sigma = t/T, in continuous time.

    Source: Liu et al. 2022 (arXiv:2209.03003); t = T is noise, as in Open-Sora 1.2 (arXiv:2412.20404).
    """

    config: ScheduleConfig = ScheduleConfig(kind="rectified_flow")

    def __post_init__(self) -> None:
        if self.config.kind != "rectified_flow":
            raise ValueError(
                f"kind={self.config.kind!r} is variance preserving: use make_schedule or VPSchedule"
            )

    @property
    def num_train_timesteps(self) -> int:
        """T, the timestep of pure noise."""
        return self.config.num_train_timesteps

    @property
    def clean_timestep(self) -> float:
        """0."""
        return 0.0

    @property
    def reaches_pure_noise(self) -> bool:
        """True: alpha is 0 at t = T."""
        return True

    def alpha(self, timesteps: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """``(T - t)/T``, in [0, 1]; written so, since ``1 - t/T`` loses digits near pure noise."""
        return (self.num_train_timesteps - timesteps.float()) / self.num_train_timesteps

    def sigma(self, timesteps: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """``t/T``, in [0, 1]."""
        return timesteps.float() / self.num_train_timesteps

    def rescale(self, timesteps: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """1."""
        return torch.ones_like(timesteps, dtype=torch.float32)

    def log_snr(self, timesteps: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """``2 * log((T - t) / t)``; infinite at both ends."""
        return 2.0 * (self.alpha(timesteps).log() - self.sigma(timesteps).log())

    def level(self, timestep: float) -> NoiseLevel:
        """Noise level of any timestep in [0, T].

        Raises:
            ValueError: The timestep is out of range.
        """
        if not 0.0 <= timestep <= self.num_train_timesteps:
            raise ValueError(f"timestep={timestep} is out of range: use 0 to {self.num_train_timesteps}")
        total = self.num_train_timesteps
        alpha, sigma = (total - timestep) / total, timestep / total
        return NoiseLevel(alpha=alpha, sigma=sigma, rescale=1.0, timestep=float(timestep))


Schedule = VPSchedule | RectifiedFlowSchedule
"""What the rest of the package takes; per-sample values are float32, on the device of the timesteps."""


def make_schedule(config: ScheduleConfig) -> Schedule:
    """The schedule that ``config.kind`` names."""
    return RectifiedFlowSchedule(config) if config.kind == "rectified_flow" else VPSchedule(config)


def alphas_cumprod(config: ScheduleConfig) -> Float[Tensor, " t"]:
    """alpha^2 of a variance-preserving schedule at timesteps 0 .. T-1, float64, falling.

    =============  =========================================================================================
    scaled_linear  beta = linspace(sqrt(start), sqrt(end), T)^2
    linear         beta = linspace(start, end, T)
    cosine         beta_t = min(1 - f(t + 1) / f(t), 0.999),  f(t) = cos^2(pi/2 * (t/T + 0.008) / 1.008)
    all            alphas_cumprod = cumprod(1 - beta), then noise_shift, then rescale_zero_terminal_snr
    =============  =========================================================================================

    Sources: Rombach et al. 2022 (latent diffusion), scaled_linear; arXiv:2006.11239, linear;
    arXiv:2102.09672, cosine; Hoogeboom et al. 2023 (arXiv:2301.11093), noise_shift.
    """
    steps, start, end = config.num_train_timesteps, config.beta_start, config.beta_end
    if config.kind == "scaled_linear":
        betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
    elif config.kind == "linear":
        betas = torch.linspace(start, end, steps, dtype=torch.float64)
    else:
        t = torch.arange(steps + 1, dtype=torch.float64) / steps
        f = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
        betas = (1 - f[1:] / f[:-1]).clamp(max=0.999)  # the paper's cap against a singular last step
    product = torch.cumprod(1.0 - betas, dim=0)
    product = product / (product + config.noise_shift**2 * (1.0 - product))
    return _with_zero_terminal_snr(product) if config.rescale_zero_terminal_snr else product


def _with_zero_terminal_snr(product: Tensor) -> Tensor:
    """Shift and stretch alpha: the first value stays, the last is 0 (arXiv:2305.08891, algorithm 1)."""
    alpha = product.sqrt()
    return ((alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])) ** 2


def _rescale_table(config: ScheduleConfig) -> Tensor:
    table = torch.ones(config.num_train_timesteps, dtype=torch.float64)
    if config.dynamic_rescale is None:
        return table
    falling = int(RESCALE_FRACTION * config.num_train_timesteps)
    table[:falling] = torch.linspace(1.0, config.dynamic_rescale, falling, dtype=torch.float64)
    table[falling:] = config.dynamic_rescale
    return table


@functools.lru_cache(maxsize=32)
def _tables(config: ScheduleConfig) -> dict[str, Tensor]:
    """Float64 tables on the CPU, clean data first, then timesteps 0 .. T-1.

    A memo of constants: the result follows from the config alone.
    """
    with torch.inference_mode(False):  # an inference tensor in the memo would break a later backward
        one = torch.ones(1, dtype=torch.float64)
        product = torch.cat([one, alphas_cumprod(config)])
        rescale = torch.cat([one, _rescale_table(config)])
        log_snr = torch.log(product * rescale**2) - torch.log1p(-product)
        return {
            "alpha": product.sqrt(),
            "sigma": (1 - product).sqrt(),
            "rescale": rescale,
            "log_snr": log_snr,
        }


@functools.lru_cache(maxsize=128)
def _table_on(config: ScheduleConfig, name: str, device: torch.device) -> Tensor:
    """One float32 table on ``device``; kept, because copying it at each step would stall a GPU."""
    with torch.inference_mode(False):
        return _tables(config)[name].to(device, torch.float32)
