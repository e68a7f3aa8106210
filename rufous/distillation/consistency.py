"""Few steps: latent consistency distillation as T2V-Turbo does it, without its flaws.

A student's consistency function maps any point of the teacher's guided probability-flow ODE to its clean end.
Draw a point of the grid, let the teacher take one DDIM step, and ask the function to agree at both ends.

Where the published code errs this does not: the teacher and the target run in eval mode, fps is the same in
both halves of guidance, the guidance embedding is part of the student, trained and saved, and every process
draws its own noise.

Source: Luo et al. 2023 (arXiv:2310.04378), T2V-Turbo (arXiv:2405.18750).
Shapes: b batch, c channels, f latent frames, h w latent height and width.
"""

import copy
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rufous.core.types import Conditioning
from rufous.diffusion.consistency import (
    SIGMA_DATA,
    TIMESTEP_SCALING,
    consistency_function,
    draw_grid_index,
    grid_timesteps,
)
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.losses import HUBER_C, pseudo_huber
from rufous.distillation.denoising import LatentBatch
from rufous.distillation.teaching import (
    GuidanceRange,
    check_schedule,
    frozen,
    in_eval_mode,
    network_of,
)
from rufous.training.parallel import local, reshard


@runtime_checkable
class Feedback(Protocol):
    """What is added to the loss from the student's clean estimate, for example rewards."""

    def __call__(
        self, pred_x0: Float[Tensor, "b c f h w"], batch: LatentBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """A loss that is added as it is, and numbers to log."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What changes during training."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        ...


@dataclass(frozen=True, kw_only=True)
class ConsistencyConfig:
    """One consistency distillation."""

    guidance: GuidanceRange = field(default_factory=lambda: GuidanceRange(6.0, 16.0, 256))
    """Scales g = 1 + w of the teacher; w from 5 to 15 in T2V-Turbo."""
    num_points: int = 50
    """N points of the grid, so that the teacher's step is 1000 / N timesteps; T2V-Turbo-v2 uses 200."""
    target: Literal["student", "ema"] = "ema"
    """Whose answer at the nearer point is the target; the releases use the current student."""
    target_decay: float = 0.95
    huber_c: float = HUBER_C
    sigma_data: float = SIGMA_DATA
    timestep_scaling: float = TIMESTEP_SCALING

    def __post_init__(self) -> None:
        if not 0.0 <= self.target_decay < 1.0:
            raise ValueError(f"target_decay={self.target_decay}: use 0 or more and less than 1")


class ConsistencyObjective:
    """Trains a few-step student; owns the target's averaged weights."""

    def __init__(
        self,
        student: Denoiser,
        teacher: Denoiser,
        empty: Conditioning,
        config: ConsistencyConfig | None = None,
        *,
        feedback: Feedback | None = None,
    ) -> None:
        """Train the network inside ``student``.

        Args:
            student: Reads ``cond.guidance_embeds`` if the config embeds the scale. Not spread over processes
                yet: its weights are copied for the target (see ``networks``).
            teacher: Frozen here.
            empty: The empty caption, batch of 1.
            config: Grid, guidance and target.
            feedback: Called with the student's clean estimates; its loss is added.

        Raises:
            ValueError: The schedules differ, or the student has no weights.
        """
        self._config = config or ConsistencyConfig()
        check_schedule(student, teacher)
        self.trainable = network_of(student, "student")
        self._student, self._teacher, self._empty = student, frozen(teacher), empty
        self._feedback = feedback
        self._target: nn.Module | None = None
        if self._config.target == "ema":
            self._target = copy.deepcopy(self.trainable).eval().requires_grad_(False)

    @property
    def networks(self) -> nn.ModuleDict:
        """What is spread over several processes: the student, and the target if there is one."""
        target = {} if self._target is None else {"target": self._target}
        return nn.ModuleDict({"student": self.trainable, **target})

    def loss(
        self, batch: LatentBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """One step's loss: pseudo-Huber of the consistency function's two answers, and the feedback."""
        config, latents = self._config, batch.latents
        index = draw_grid_index(len(batch), config.num_points, generator)
        now, before = grid_timesteps(index, self._teacher.schedule, config.num_points)
        scale = config.guidance.draw(len(batch), generator).to(latents.device)
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)
        noisy = self._teacher.add_noise(latents, noise, now)
        told = config.guidance.told(batch.cond, scale)

        answer = self._answer(self._student, noisy, now, told)
        with torch.no_grad():
            output = config.guidance.output_of(self._teacher, noisy, now, batch.cond, self._empty, scale)
            pred = self._teacher.read(output, noisy, now)
            nearer = self._teacher.add_noise(pred.x0, pred.epsilon, before)
            goal = self._goal(nearer, before, told)
        consistency = pseudo_huber(answer, goal, c=config.huber_c).mean()
        metrics: dict[str, Tensor | float] = {"consistency": consistency.detach()}
        if self._feedback is None:
            return consistency, metrics
        extra, found = self._feedback(answer, batch, generator)
        return consistency + extra, {**metrics, **found}

    def after_step(self) -> None:
        """Move the target."""
        if self._target is None:
            return
        reshard(self._target)  # it has no backward pass, which would do that
        with torch.no_grad():
            for mine, new in zip(self._target.parameters(), self.trainable.parameters(), strict=True):
                local(mine).lerp_(local(new).to(mine.dtype), 1.0 - self._config.target_decay)

    def state_dict(self) -> dict[str, Any]:
        """The target's weights, if it has its own, and the feedback's state."""
        state = {} if self._target is None else {"target": self._target.state_dict()}
        return state if self._feedback is None else {**state, "feedback": self._feedback.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with a saved target."""
        if self._target is not None:
            self._target.load_state_dict(state["target"])
        if self._feedback is not None:
            self._feedback.load_state_dict(state["feedback"])

    def _goal(self, latents: Tensor, timesteps: Tensor, cond: Conditioning) -> Tensor:
        if self._target is not None:
            target = Denoiser(self._target, self._student.schedule, self._student.prediction_type)
            return self._answer(target, latents, timesteps, cond)
        with in_eval_mode(self.trainable):
            return self._answer(self._student, latents, timesteps, cond)

    def _answer(self, denoiser: Denoiser, latents: Tensor, timesteps: Tensor, cond: Conditioning) -> Tensor:
        """The consistency function of a network."""
        return consistency_function(
            latents,
            denoiser(latents, timesteps, cond).x0,
            timesteps,
            sigma_data=self._config.sigma_data,
            timestep_scaling=self._config.timestep_scaling,
        )
