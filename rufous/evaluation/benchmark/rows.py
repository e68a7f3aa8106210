"""What is measured: releases, architectures with random weights, and the settings of their clips.

All of it goes to another process and into the results as JSON.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.core.errors import ConfigError
from rufous.evaluation.benchmark.workload import How
from rufous.networks.text_encoders import OPENCLIP_VIT_H_14, TextEncoderConfig
from rufous.networks.unet3d import UNet3DConfig
from rufous.networks.vae2d import SD_KL_F8, AutoencoderKLConfig


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Networks of this project, to be filled with random weights."""

    unet: UNet3DConfig
    diffusion: DiffusionConfig
    autoencoder: AutoencoderKLConfig = SD_KL_F8
    text_encoder: TextEncoderConfig = OPENCLIP_VIT_H_14


@dataclass(frozen=True, kw_only=True)
class DiffusersArchitecture:
    """A text-to-video pipeline of diffusers, to be filled with random weights; nothing is downloaded."""

    pipeline: Literal["TextToVideoSDPipeline", "AnimateDiffPipeline"]
    diffusion: DiffusionConfig
    """Solver (``"ddim"`` or ``"lcm"``, by diffusers' schedulers), steps, guidance and size of the clip."""
    unet: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the denoising network's class, where they differ from its defaults."""
    autoencoder: Mapping[str, Any] = field(default_factory=dict)
    """Of ``AutoencoderKL``."""
    text_encoder: Mapping[str, Any] = field(default_factory=dict)
    """Of transformers' ``CLIPTextConfig``."""

    def __post_init__(self) -> None:
        if self.diffusion.sampling.solver not in ("ddim", "lcm"):
            raise ConfigError(
                f"solver={self.diffusion.sampling.solver!r} has no scheduler here: use ddim or lcm"
            )


@dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """What was asked for on the command line; None leaves it to the model."""

    num_frames: int | None = None
    height: int | None = None
    width: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    solver: str | None = None


@dataclass(frozen=True, kw_only=True)
class BenchmarkRow:
    """One model, sampled in one way."""

    name: str
    """Tells the row from all others of the run."""
    model: Architecture | DiffusersArchitecture | str
    """A text is the folder of a release."""
    settings: ClipSettings = field(default_factory=ClipSettings)
    published_s: float | None = None
    """Time of a clip in Table 2 of arXiv:2503.18559, fp16 on one MI250, in seconds."""

    @property
    def weights(self) -> str:
        """Whose weights these are, in a few words."""
        if isinstance(self.model, str):
            return "release"
        kind = "random weights"
        return kind if isinstance(self.model, Architecture) else f"diffusers, {kind}"


@dataclass(frozen=True, kw_only=True)
class RowJob:
    """One row for one process."""

    row: BenchmarkRow
    device: str
    dtype: str
    """A key of ``rufous.core.devices.DTYPES``."""
    num_runs: int
    how: Literal["auto"] | How
    limit_s: float
    """As in ``workload.measure``; with ``"auto"``, longer predictions make it ``"calls"``."""
    flop_per_s: float
    """Peak of the device in that dtype, for the prediction."""


@dataclass(frozen=True, kw_only=True)
class MachineJob:
    """Measure the machine."""

    device: str
    dtype: str
    """``"auto"`` or a dtype, of the rows."""
    duration_s: float
    """Of each measurement."""
