"""A network small enough to compute by hand: it adds the prompt's first number to scaled latents."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.schedules import ScheduleConfig, make_schedule
from rufous.distillation import LatentBatch

SCHEDULE = make_schedule(ScheduleConfig(rescale_zero_terminal_snr=True))
OTHER_SCHEDULE = make_schedule(ScheduleConfig(rescale_zero_terminal_snr=True, noise_shift=3.0))


class Prompted(nn.Module):
    """``scale * latents + prompt``; keeps what it was called with."""

    def __init__(self, scale: float = 0.5) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.block = nn.Identity()
        self.calls: list[Call] = []

    def forward(self, latents, timesteps, cond):
        self.calls.append(Call(cond=cond, training=self.training, timesteps=timesteps, latents=latents))
        return self.block(self.scale * latents) + cond.prompt_embeds[:, :1, :1, None, None]


@dataclass
class Call:
    """One call of the network."""

    cond: Conditioning
    training: bool
    timesteps: torch.Tensor = field(default_factory=lambda: torch.zeros(1))
    latents: torch.Tensor = field(default_factory=lambda: torch.zeros(1))


def denoiser(scale: float = 0.5) -> Denoiser:
    return Denoiser(network=Prompted(scale), schedule=SCHEDULE, prediction_type="v_prediction")


def prompts(*values: float) -> Conditioning:
    embeds = torch.tensor(values)[:, None, None].expand(-1, 2, 3).contiguous()
    return Conditioning(prompt_embeds=embeds, fps=torch.arange(1.0, len(values) + 1))


@pytest.fixture
def batch() -> LatentBatch:
    generator = torch.Generator().manual_seed(0)
    return LatentBatch(latents=torch.randn(2, 4, 3, 2, 2, generator=generator), cond=prompts(1.0, 2.0))


class Remembering:
    """A feedback: a factor times the mean of what it sees, which it keeps."""

    def __init__(self, factor: float) -> None:
        self.factor, self.seen, self.calls = factor, [], 0

    def __call__(self, pred_x0, batch, generator):
        self.seen.append(pred_x0)
        self.calls += 1
        return self.factor * pred_x0.mean(), {"reward": 1.0}

    def state_dict(self):
        return {"calls": self.calls}

    def load_state_dict(self, state):
        self.calls = state["calls"]
