"""Recovery after pruning: the small network learns the large one's output after guidance.

Hummingbird's first stage (arXiv:2503.18559): draw a clip, a timestep and noise; the student's single pass
must equal the teacher's guided output there. Terms that the paper has or wants can be combined: the clip
itself (ground truth), blocks that match the teacher's, and agreement of two points on the teacher's
probability-flow ODE, a solver step apart. The teacher stays frozen, in eval mode, and is never saved.

Shapes: b batch, c channels, f latent frames, h w latent height and width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.losses import mse
from rufous.diffusion.timesteps import draw_timesteps
from rufous.distillation.denoising import LatentBatch, drop_captions
from rufous.distillation.teaching import (
    BlockFeatures,
    GuidanceRange,
    check_schedule,
    frozen,
    in_eval_mode,
    network_of,
)


@dataclass(frozen=True, kw_only=True)
class StructuralConfig:
    """Terms of the recovery loss; a weight of 0 leaves a term and its cost out."""

    guidance: GuidanceRange = field(default_factory=lambda: GuidanceRange(12.0, 12.0))
    """The teacher's scale: 12 in the released code; 1 is the plain output, for a student guided later."""
    caption_dropout: float = 0.0
    """Share of examples without caption; needed if the student will be guided itself (scale 1 here)."""
    output_weight: float = 1.0
    truth_weight: float = 0.0
    """Plain diffusion loss against the clip itself."""
    feature_weight: float = 0.0
    """See ``teaching.BlockFeatures``; needs pairs of blocks."""
    ode_weight: float = 0.0
    """Squared difference of the clean estimates at both ends of the teacher's step."""
    ode_skip: int = 20
    """k, the length of that step in timesteps; the release names the option and has no solver for it."""

    def __post_init__(self) -> None:
        weights = (self.output_weight, self.truth_weight, self.feature_weight, self.ode_weight)
        if min(weights) < 0.0 or max(weights) == 0.0:
            raise ValueError(f"loss weights {weights}: use numbers from 0, and one above")
        if self.ode_skip < 1:
            raise ValueError(f"ode_skip={self.ode_skip}: use 1 or more timesteps, for example 20")


class StructuralObjective:
    """Trains a pruned student towards its teacher; owns nothing that changes but the student's weights.

        loss = w_output |s - T|^2 + w_truth |s - target|^2 + w_feature sum_i |s_i - T_i|^2 / |T_i|^2
               + w_ode |x0_s(x_t, t) - x0_s(x_(t-k), t-k)|^2

    ``s`` is the student's output, ``T`` the teacher's after guidance, ``x_(t-k)`` the teacher's DDIM step.
    """

    def __init__(
        self,
        student: Denoiser,
        teacher: Denoiser,
        empty: Conditioning,
        config: StructuralConfig | None = None,
        *,
        blocks: Sequence[tuple[nn.Module, nn.Module]] = (),
    ) -> None:
        """Train the network inside ``student``.

        Args:
            student: Prediction type and schedule must be the teacher's.
            teacher: Frozen here.
            empty: The empty caption, batch of 1.
            config: Terms and weights.
            blocks: Pairs (student block, teacher block) for the feature term.

        Raises:
            ValueError: The two denoisers mean different things by their output, or the feature term has no
                blocks.
        """
        self._config = config or StructuralConfig()
        check_schedule(student, teacher)
        if student.prediction_type != teacher.prediction_type:
            raise ValueError(
                f"the student predicts {student.prediction_type} and the teacher {teacher.prediction_type}: "
                "recovery compares raw outputs, so give both one prediction_type"
            )
        if self._config.feature_weight and not blocks:
            raise ValueError("feature_weight is set but there are no blocks to compare: pass pairs of blocks")
        self.trainable = network_of(student, "student")
        self._student, self._teacher, self._empty = student, frozen(teacher), empty
        self._features = BlockFeatures(blocks) if self._config.feature_weight else None

    def loss(
        self, batch: LatentBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """One step's loss and its unweighted terms."""
        config, latents = self._config, batch.latents
        cond = drop_captions(batch.cond, self._empty, config.caption_dropout, generator)
        timesteps = draw_timesteps(self._teacher.schedule, len(batch), generator)
        scale = config.guidance.draw(len(batch), generator).to(latents.device)
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)
        noisy = self._teacher.add_noise(latents, noise, timesteps)
        if self._features is None:
            target, output = self._pass(noisy, timesteps, cond, scale)
            terms: dict[str, Tensor] = {}
        else:
            with self._features.catching():
                target, output = self._pass(noisy, timesteps, cond, scale)
                terms = {"feature": self._features.loss()}
        terms["output"] = mse(output, target).mean()
        if config.truth_weight:
            terms["truth"] = mse(output, self._teacher.target(latents, noise, timesteps)).mean()
        if config.ode_weight:
            terms["ode"] = self._ode_term(noisy, timesteps, cond, scale, output, target)
        loss = sum(getattr(config, f"{name}_weight") * value for name, value in terms.items())
        assert isinstance(loss, Tensor)
        return loss, {name: value.detach() for name, value in terms.items()}

    def after_step(self) -> None:
        """Nothing follows a step."""

    def state_dict(self) -> dict[str, Any]:
        """Empty: the teacher is not saved with the student."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to load."""

    def _pass(
        self, noisy: Tensor, timesteps: Tensor, cond: Conditioning, scale: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The teacher's target and the student's output."""
        guidance = self._config.guidance
        with torch.no_grad():
            target = guidance.output_of(self._teacher, noisy, timesteps, cond, self._empty, scale)
        return target, self._student.output(noisy, timesteps, guidance.told(cond, scale))

    def _ode_term(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        cond: Conditioning,
        scale: Tensor,
        output: Tensor,
        target: Tensor,
    ) -> Tensor:
        """Squared difference of the clean estimates at x_t and one teacher step nearer to the clip."""
        before = (timesteps - self._config.ode_skip).clamp(min=0.0)
        pred = self._teacher.read(target, noisy, timesteps)
        with in_eval_mode(self.trainable):
            nearer = self._teacher.add_noise(pred.x0, pred.epsilon, before)
            goal = self._student(nearer, before, self._config.guidance.told(cond, scale)).x0
        return mse(self._student.read(output, noisy, timesteps).x0, goal).mean()
