"""Few steps by distribution matching: the student's clips must be as likely under the teacher as under a
critic that follows the student.

A consistency student copies the teacher's path and inherits its blur at few steps; this one only has to land
where the teacher's guided distribution is, by whatever path. It trains on its own intermediate clips, so
training and sampling see the same inputs, and it needs no clips but prompts and lengths. A student of a range
of guidance scales has another distribution for each, so its critic is told the scale as well.

Source: Yin et al. 2024, DMD2 (arXiv:2405.14867): no regression term, a faster critic, multi-step generator
with backward simulation. The adversarial term of that paper is left out.
Shapes: b batch, c channels, f latent frames, h w latent height and width.
"""

import itertools
from dataclasses import dataclass, field
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from rufous.core.randomness import generator_from
from rufous.core.types import Conditioning
from rufous.diffusion.consistency import consistency_function
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.losses import mse
from rufous.distillation.consistency import Feedback
from rufous.distillation.denoising import LatentBatch
from rufous.distillation.teaching import (
    GuidanceRange,
    check_schedule,
    frozen,
    in_eval_mode,
    network_of,
)
from rufous.training.parallel import reshard


@dataclass(frozen=True, kw_only=True)
class DistributionMatchingConfig:
    """One distribution-matching distillation."""

    timesteps: tuple[float, ...] = (999.0, 759.0, 519.0, 279.0)
    """Where the student is called, falling; the first should be pure noise. Use the sampler's own."""
    guidance: GuidanceRange = field(default_factory=lambda: GuidanceRange(8.5, 8.5))
    """Scales g of the teacher's score."""
    score_range: tuple[float, float] = (0.02, 0.98)
    """Share of the schedule in which the two scores are compared."""
    student_every: int = 5
    """The student moves on every so-manieth step, the critic on all (5 in DMD2)."""
    seed: int = 0
    """Of how often the student is called in a step: on several processes all call it equally often, as a
    sharded network must be."""

    def __post_init__(self) -> None:
        falling = all(a > b for a, b in itertools.pairwise(self.timesteps))
        if not self.timesteps or not falling or self.timesteps[-1] < 0:
            raise ValueError(f"timesteps={self.timesteps}: use one or more falling timesteps from 0")
        if not 0.0 <= self.score_range[0] < self.score_range[1] <= 1.0:
            raise ValueError(f"score_range={self.score_range}: use two shares of the schedule, rising")
        if self.student_every < 1:
            raise ValueError(f"student_every={self.student_every}: use 1 or more")


class DistributionMatchingObjective:
    """Trains a few-step student and the critic that follows it; ``trainable`` holds both, under these names.

    Owns the number of steps taken, which decides when the student moves.
    """

    def __init__(
        self,
        student: Denoiser,
        critic: Denoiser,
        teacher: Denoiser,
        empty: Conditioning,
        config: DistributionMatchingConfig | None = None,
        *,
        feedback: Feedback | None = None,
    ) -> None:
        """Train the networks inside ``student`` and ``critic``.

        Args:
            student: Starts best from a student that already answers in few steps. It and the critic read
                ``cond.guidance_embeds`` if the config embeds the scale.
            critic: A second network like the teacher's, with the teacher's or the student's weights.
            teacher: Frozen here.
            empty: The empty caption, batch of 1.
            config: Timesteps, guidance, pace.
            feedback: Called with the student's clean estimates; its loss is added.

        Raises:
            ValueError: The schedules differ, or the critic is the student.
        """
        self._config = config or DistributionMatchingConfig()
        check_schedule(student, teacher)
        check_schedule(critic, teacher, "critic")
        parts = {"student": network_of(student, "student"), "critic": network_of(critic, "critic")}
        if parts["student"] is parts["critic"]:
            raise ValueError("the critic is the student itself: give it a network of its own")
        self.trainable = nn.ModuleDict(parts)
        self._student, self._critic, self._teacher = student, critic, frozen(teacher)
        self._empty, self._feedback = empty, feedback
        self._step, self._num_batches = 0, 0

    @property
    def networks(self) -> nn.ModuleDict:
        """What is spread over several processes: the student and the critic."""
        return self.trainable

    def loss(
        self, batch: LatentBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The critic's loss, and on the student's turns the student's; ``batch.latents`` gives the size."""
        config = self._config
        scale = config.guidance.draw(len(batch), generator).to(batch.latents.device)
        told = config.guidance.told(batch.cond, scale)
        is_students_turn = self._step % config.student_every == 0
        with torch.set_grad_enabled(is_students_turn):
            made = self._generate(batch.latents, told, generator)
        critic_loss = self._critic_loss(made.detach(), told, generator)
        metrics: dict[str, Tensor | float] = {"critic": critic_loss.detach()}
        if not is_students_turn:
            return critic_loss, metrics
        student_loss, found = self._student_loss(made, batch.cond, told, scale, generator)
        loss, metrics = critic_loss + student_loss, {**metrics, **found}
        if self._feedback is not None:
            extra, found = self._feedback(made, batch, generator)
            loss, metrics = loss + extra, {**metrics, **found}
        return loss, metrics

    def after_step(self) -> None:
        """Count the step."""
        reshard(self.trainable)  # between the student's turns it has no backward pass, which would do that
        self._step, self._num_batches = self._step + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Steps taken, and the feedback's state."""
        state: dict[str, Any] = {"step": self._step}
        return state if self._feedback is None else {**state, "feedback": self._feedback.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at a saved step."""
        self._step = int(state["step"])
        if self._feedback is not None:
            self._feedback.load_state_dict(state["feedback"])

    def _generate(
        self, like: Tensor, cond: Conditioning, generator: torch.Generator
    ) -> Float[Tensor, "b c f h w"]:
        """The student's clean estimate at a random call of its own sampling, which alone has gradients."""
        config, last = self._config, self._draw_last()
        latents = torch.randn(like.shape, generator=generator, device=like.device)
        made = latents
        for index, timestep in enumerate(config.timesteps[: last + 1]):
            timesteps = torch.full((len(like),), timestep, device=like.device)
            if index < last:
                with in_eval_mode(self.trainable["student"]):
                    made = self._answer(latents, timesteps, cond)
                following = torch.full_like(timesteps, config.timesteps[index + 1])
                noise = torch.randn(like.shape, generator=generator, device=like.device)
                latents = self._teacher.add_noise(made, noise, following)
            else:
                made = self._answer(latents, timesteps, cond)
        return made

    def _draw_last(self) -> int:
        """Index of the student's last call: from seed, step and batch alone, so that all processes agree."""
        source = generator_from(self._config.seed, "last call", self._step, self._num_batches)
        self._num_batches += 1
        return int(torch.randint(len(self._config.timesteps), (), generator=source))

    def _answer(self, latents: Tensor, timesteps: Tensor, cond: Conditioning) -> Tensor:
        return consistency_function(latents, self._student(latents, timesteps, cond).x0, timesteps)

    def _noised(self, made: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """The clip at a random noise level: latents, timesteps, noise."""
        lowest, highest = (
            round(share * (self._teacher.schedule.num_train_timesteps - 1))
            for share in self._config.score_range
        )
        timesteps = torch.randint(
            lowest, highest + 1, (len(made),), generator=generator, device=generator.device
        )
        timesteps = timesteps.float().to(made.device)
        noise = torch.randn(made.shape, generator=generator, device=made.device)
        return self._teacher.add_noise(made, noise, timesteps), timesteps, noise

    def _critic_loss(self, made: Tensor, cond: Conditioning, generator: torch.Generator) -> Tensor:
        """Plain diffusion loss on the student's clips."""
        noisy, timesteps, noise = self._noised(made, generator)
        target = self._critic.target(made, noise, timesteps)
        return mse(self._critic.output(noisy, timesteps, cond), target).mean()

    def _student_loss(
        self,
        made: Tensor,
        cond: Conditioning,
        told: Conditioning,
        scale: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """A loss whose gradient is the difference of both clean estimates, in units of the teacher's error.

            d loss / d made = (x0_critic - x0_teacher) / mean |made - x0_teacher|

        Source: arXiv:2405.14867, eq. 3; arXiv:2311.18828, eq. 8 for the unit.
        """
        with torch.no_grad(), in_eval_mode(self.trainable["critic"]):
            noisy, timesteps, _ = self._noised(made, generator)
            guidance = self._config.guidance
            output = guidance.output_of(self._teacher, noisy, timesteps, cond, self._empty, scale)
            real = self._teacher.read(output, noisy, timesteps).x0
            fake = self._critic(noisy, timesteps, told).x0
            unit = (made - real).abs().mean(dim=(1, 2, 3, 4)).clamp(min=1e-6)
            direction = (fake - real) / rearrange(unit, "b -> b 1 1 1 1")
        loss = 0.5 * mse(made, (made - direction).detach()).mean()
        pull = direction.flatten(1).norm(dim=1).mean() / made.numel()  # the gradient's norm in one clip
        return loss, {"student": loss.detach(), "student_pull": pull, "score_gap": (fake - real).abs().mean()}
