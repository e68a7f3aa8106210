"""Few steps by distribution matching: the student's clips must be as likely under the teacher as under a
critic that follows the student.

A consistency student copies the teacher's path and inherits its blur at few steps; this one only has to land
where the teacher's guided distribution is, by whatever path. It trains on its own intermediate clips, so
training and sampling see the same inputs, and it needs no clips but prompts and lengths. A student of a range
of guidance scales has another distribution for each, so its critic is told the scale as well.

Source: Yin et al. 2024, DMD2 (arXiv:2405.14867): no regression term, a faster critic, multi-step generator
with backward simulation; and its adversarial term if asked for, which needs clips (``adversarial``).
Shapes: b batch, c channels, f latent frames, h w latent height and width.
"""

import itertools
from collections.abc import Mapping
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
from rufous.diffusion.losses import carried, mse
from rufous.distillation.adversarial import (
    AdversarialConfig,
    Discriminator,
    is_made_loss,
    is_real_loss,
    share_taken_for_real,
)
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
    adversarial: AdversarialConfig | None = None
    """Real clips against the student's; None leaves them out."""
    student_every: int = 5
    """The student moves on every so-manieth step, the critic on all (5 in DMD2)."""
    seed: int = 0
    """Of the heads' first weights, and of how often the student is called in a step: on several processes all
    call it equally often, as a sharded network must be."""

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
        stage_widths: Mapping[str, int] | None = None,
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
            stage_widths: Channels of the critic's stages by name, for the adversarial term's heads.

        Raises:
            ValueError: The schedules differ, the critic is the student, or it has no such stages.
        """
        self._config = config or DistributionMatchingConfig()
        check_schedule(student, teacher)
        check_schedule(critic, teacher, "critic")
        parts = {"student": network_of(student, "student"), "critic": network_of(critic, "critic")}
        if parts["student"] is parts["critic"]:
            raise ValueError("the critic is the student itself: give it a network of its own")
        self._discriminator: Discriminator | None = None
        if self._config.adversarial is not None:
            self._discriminator = Discriminator(
                critic, stage_widths or {}, self._config.adversarial, self._config.seed
            )
            parts["heads"] = self._discriminator.heads
        self.trainable = nn.ModuleDict(parts)
        self._student, self._critic, self._teacher = student, critic, frozen(teacher)
        self._empty, self._feedback = empty, feedback
        self._step, self._num_batches = 0, 0

    @property
    def networks(self) -> nn.ModuleDict:
        """What is spread over several processes: the student, the critic and its heads."""
        return self.trainable

    def loss(
        self, batch: LatentBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The critic's loss, and on the student's turns the student's; ``batch.latents`` gives the size, and
        the real clips."""
        config = self._config
        scale = config.guidance.draw(len(batch), generator).to(batch.latents.device)
        told = config.guidance.told(batch.cond, scale)
        is_students_turn = self._step % config.student_every == 0
        with torch.set_grad_enabled(is_students_turn):
            made = self._generate(batch.latents, told, generator)
        if not is_students_turn:
            return self._critic_loss(made.detach(), batch.latents, told, generator)
        # the student's first: its adversarial gradient is taken on the spot, and a sharded critic drops its
        # gathered weights there, which no other pass may be waiting for
        loss, metrics = self._student_loss(made, batch.cond, told, scale, generator)
        critic_loss, found = self._critic_loss(made.detach(), batch.latents, told, generator)
        loss, metrics = critic_loss + loss, {**found, **metrics}
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

    def _critic_loss(
        self, made: Tensor, real: Tensor, cond: Conditioning, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Plain diffusion loss on the student's clips, and the heads' on them and on real ones."""
        noisy, timesteps, noise = self._noised(made, generator)
        target = self._critic.target(made, noise, timesteps)
        output, of_made = self._criticized(noisy, timesteps, cond)
        loss = mse(output, target).mean()
        if self._discriminator is None:
            return loss, {"critic": loss.detach()}
        _, of_real = self._discriminator(self._teacher.add_noise(real, noise, timesteps), timesteps, cond)
        heads_loss = is_made_loss(of_made) + is_real_loss(of_real)
        metrics: dict[str, Tensor | float] = {
            "critic": loss.detach(),
            "heads": heads_loss.detach(),
            "real_taken_for_real": share_taken_for_real(of_real),
            "made_taken_for_real": share_taken_for_real(of_made),
        }
        return loss + self._discriminator.config.critic_weight * heads_loss, metrics

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

        An adversarial term has its logits from the same pass of the critic.
        Source: arXiv:2405.14867, eq. 3; arXiv:2311.18828, eq. 8 for the unit.
        """
        is_adversarial = self._discriminator is not None
        seen = made.detach().requires_grad_(is_adversarial)
        with in_eval_mode(self.trainable["critic"]):
            with torch.set_grad_enabled(is_adversarial):
                noisy, timesteps, _ = self._noised(seen, generator)
                output, logits = self._criticized(noisy, timesteps, told)
            fake = self._critic.read(output, noisy, timesteps).x0
            guidance = self._config.guidance
            output = guidance.output_of(self._teacher, noisy, timesteps, cond, self._empty, scale)
            real = self._teacher.read(output, noisy, timesteps).x0
            unit = (made - real).abs().mean(dim=(1, 2, 3, 4)).clamp(min=1e-6)
            direction = (fake - real) / rearrange(unit, "b -> b 1 1 1 1")
        loss = 0.5 * mse(made, (made - direction).detach()).mean()
        pull = direction.flatten(1).norm(dim=1).mean() / made.numel()  # the gradient's norm in one clip
        metrics: dict[str, Tensor | float] = {
            "student": loss.detach(),
            "student_pull": pull,
            "score_gap": (fake - real).abs().mean(),
        }
        if self._discriminator is not None:
            term = self._discriminator.config.weight * is_real_loss(logits)
            term, metrics["adversarial_pull"] = carried(term, seen, made)
            loss = loss + term
        return loss, metrics

    def _criticized(
        self, noisy: Tensor, timesteps: Tensor, cond: Conditioning
    ) -> tuple[Tensor, list[Tensor]]:
        """The critic's raw output, and its heads' logits if it has any."""
        if self._discriminator is None:
            return self._critic.output(noisy, timesteps, cond), []
        return self._discriminator(noisy, timesteps, cond)
