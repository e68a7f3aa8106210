"""Real clips against a student's: heads on a diffusion network's stages that tell one from the other.

The score of a teacher holds the teacher's own mistakes; real clips do not. Both are noised alike before they
are told apart, so that the two sets overlap and no pixel-sized trace gives a made one away.

Source: Yin et al. 2024, DMD2 (arXiv:2405.14867), section 4.3: a head on the critic's deepest features, and
the non-saturating loss of Goodfellow et al. 2014 (arXiv:1406.2661). Heads on several depths follow Sauer et
al. 2024, LADD (arXiv:2403.12015).
Shapes: b batch, c channels, f latent frames, h w latent height and width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from rufous.core.randomness import generator_from
from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.distillation.teaching import CaughtOutputs, network_of
from rufous.networks.layers import zero_

HEAD_GAIN = 16.0
"""Of the logits: at the learning rate of the networks below, fresh heads learn so many times as fast. They
have to catch up with a student that is being made (arXiv:1710.10196 scales weights for the same reason)."""


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """How hard real clips pull, and where they are told from made ones."""

    weight: float
    """Of the student's term. Compare what is logged: ``adversarial_pull`` with ``student_pull``."""
    critic_weight: float = 0.01
    """Of the heads' loss beside the critic's diffusion loss, for the critic's own weights (DMD2: 0.01)."""
    stages: tuple[str, ...] = ("middle_block",)
    """Published names of the critic's stages that have a head."""
    width: int = 64
    """Channels inside a head."""

    def __post_init__(self) -> None:
        if self.weight <= 0.0 or self.critic_weight <= 0.0:
            raise ValueError(
                f"weight={self.weight}, critic_weight={self.critic_weight}: use numbers above 0, or leave "
                "the adversarial term out"
            )
        if not self.stages or self.width < 1:
            raise ValueError(f"stages={self.stages}, width={self.width}: use one stage and channel or more")


class StageHead(nn.Module):
    """Whether the surroundings of each place in a clip are real, from one stage's features; a fresh one
    answers 0 everywhere."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, in_channels)
        self.mix = nn.Conv3d(in_channels, width, 3, padding=1)
        self.out = zero_(nn.Conv3d(width, 1, 1))

    def forward(self, features: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b _"]:
        """A logit for each place, above 0 for real."""
        return HEAD_GAIN * self.out(F.silu(self.mix(self.norm(features)))).flatten(1)


class StageHeads(nn.ModuleDict):
    """A head for each named stage; the dots of a name become ``_`` in the keys."""

    def __init__(self, widths: Mapping[str, int], config: AdversarialConfig, seed: int = 0) -> None:
        """Make heads for the config's stages.

        Args:
            widths: Channels of the stages that there are, by name.
            config: Which of them have a head.
            seed: Of the weights, which are the same on every process and after whatever ran before.

        Raises:
            ValueError: There is no such stage.
        """
        if unknown := [name for name in config.stages if name not in widths]:
            raise ValueError(f"stages={unknown} are not in this critic: use some of {', '.join(widths)}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator_from(seed, "heads").initial_seed())
            super().__init__({_key(name): StageHead(widths[name], config.width) for name in config.stages})

    def forward(self, features: Mapping[str, Float[Tensor, "b c f h w"]]) -> list[Float[Tensor, "b _"]]:
        """Each stage's logits."""
        return [self[_key(name)](value) for name, value in features.items()]


class Discriminator:
    """A critic that also tells real clips from made ones; owns the heads and the hooks on the critic."""

    def __init__(
        self, critic: Denoiser, widths: Mapping[str, int], config: AdversarialConfig, seed: int = 0
    ) -> None:
        """Watch the stages of ``critic``, a U-Net that runs a clip's frames as one batch.

        Args:
            critic: Its network has the config's stages as sub-modules of these names; the heads are made on
                the same device.
            widths: See :class:`StageHeads`.
            config: Stages and weights.
            seed: See :class:`StageHeads`.
        """
        network = network_of(critic, "critic")
        self.config, self._critic = config, critic
        self.heads = StageHeads(widths, config, seed).to(next(network.parameters()).device)
        self._outputs = CaughtOutputs({name: network.get_submodule(name) for name in config.stages})

    def __call__(
        self,
        latents: Float[Tensor, "b c f h w"],
        timesteps: Float[Tensor, " b"],
        cond: Conditioning,
    ) -> tuple[Float[Tensor, "b c f h w"], list[Float[Tensor, "b _"]]]:
        """The critic's raw output for noisy latents, and each stage's logits: one pass for both."""
        with self._outputs.catching():
            output = self._critic.output(latents, timesteps, cond)
            features = {
                name: rearrange(self._outputs.caught[name], "(b f) c h w -> b c f h w", b=len(latents))
                for name in self.config.stages
            }
        return output, self.heads(features)


def is_real_loss(logits: Sequence[Float[Tensor, "b _"]]) -> Float[Tensor, ""]:
    """Mean over stages and places of ``-log sigmoid(logit)``: low where clips are taken for real."""
    return torch.stack([F.softplus(-each.float()).mean() for each in logits]).mean()


def is_made_loss(logits: Sequence[Float[Tensor, "b _"]]) -> Float[Tensor, ""]:
    """The same for clips that were made."""
    return is_real_loss([-each for each in logits])


def share_taken_for_real(logits: Sequence[Float[Tensor, "b _"]]) -> Float[Tensor, ""]:
    """Share of places, stages weighing alike, that the heads take for real."""
    return torch.stack([(each > 0.0).float().mean() for each in logits]).mean()


def _key(stage: str) -> str:
    return stage.replace(".", "_")
