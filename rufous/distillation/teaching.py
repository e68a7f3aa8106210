"""What every distillation asks of a teacher: frozen weights, one drawn guidance scale, blocks to compare.

Shapes: b batch, c channels, f latent frames, h w latent height and width.
"""

from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.guidance import embed_guidance_scale, guided_output


def network_of(denoiser: Denoiser, role: str) -> nn.Module:
    """The module inside a denoiser.

    Raises:
        ValueError: It is a plain function; ``role`` says whose.
    """
    if not isinstance(denoiser.network, nn.Module):
        raise ValueError(f"the {role}'s network is no nn.Module: there are no weights to train or to freeze")
    return denoiser.network


def frozen(teacher: Denoiser) -> Denoiser:
    """The teacher in eval mode and without gradients. Objectives keep it out of what they train and save."""
    network_of(teacher, "teacher").eval().requires_grad_(False)
    return teacher


def check_schedule(student: Denoiser, teacher: Denoiser, role: str = "student") -> None:
    """Refuse a pupil that means another noise by a timestep than its teacher.

    Raises:
        ValueError: The schedules differ; ``role`` says whose.
    """
    if student.schedule != teacher.schedule:
        raise ValueError(
            f"the {role}'s schedule is {student.schedule.config} and the teacher's is "
            f"{teacher.schedule.config}: distillation compares both at the same noise, so they must be equal"
        )


@dataclass(frozen=True)
class GuidanceRange:
    """Guidance scales g that a student learns, drawn evenly; equal ends for one scale.

    With ``embed_dim`` the student is told the scale (``cond.guidance_embeds``), as the weight w = g - 1.
    """

    lowest: float
    highest: float
    embed_dim: int | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.lowest <= self.highest:
            raise ValueError(
                f"guidance from {self.lowest} to {self.highest}: use two scales from 0, the lower one first"
            )
        if self.lowest != self.highest and self.embed_dim is None:
            raise ValueError(
                f"guidance from {self.lowest} to {self.highest} needs a student that is told the scale: "
                "use one scale, or a network with guidance_embed_dim"
            )

    def draw(self, batch_size: int, generator: torch.Generator) -> Float[Tensor, " b"]:
        """One scale g for each sample."""
        share = torch.rand(batch_size, generator=generator, device=generator.device)
        return self.lowest + (self.highest - self.lowest) * share

    def output_of(
        self,
        teacher: Denoiser,
        latents: Float[Tensor, "b c f h w"],
        timesteps: Float[Tensor, " b"],
        cond: Conditioning,
        empty: Conditioning,
        scale: Float[Tensor, " b"],
    ) -> Float[Tensor, "b c f h w"]:
        """The teacher's raw output after guidance, see ``diffusion.guidance.guided_output``.

        Where the only scale is 1 that is its plain output, and half the work.
        """
        if self.lowest == self.highest == 1.0:
            return teacher.output(latents, timesteps, cond)
        return guided_output(teacher, latents, timesteps, cond, empty, scale)

    def told(self, cond: Conditioning, scale: Float[Tensor, " b"]) -> Conditioning:
        """The student's conditioning: with the embedded scale, if it reads one."""
        if self.embed_dim is None:
            return cond
        return replace(cond, guidance_embeds=embed_guidance_scale(scale - 1.0, self.embed_dim))


class CaughtOutputs:
    """What modules answer while networks run inside ``catching``, by the keys the modules were given.

    Owns the hooks, which keep nothing outside of it.
    """

    def __init__(self, modules: Mapping[Hashable, nn.Module]) -> None:
        """Watch ``modules``, for example U-Net stages by name; each must answer with one tensor."""
        self.caught: dict[Hashable, Tensor] = {}
        """Each module's last output inside ``catching``; empty outside."""
        self._is_catching = False
        for key, module in modules.items():
            module.register_forward_hook(self._hook(key))

    @contextmanager
    def catching(self) -> Generator[None, None, None]:
        """Keep the outputs of the passes inside; they are dropped at the end."""
        self._is_catching = True
        try:
            yield
        finally:
            self._is_catching = False
            self.caught = {}

    def _hook(self, key: Hashable) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        def keep(_module: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> None:
            if self._is_catching:
                self.caught[key] = output

        return keep


class BlockFeatures:
    """The outputs of pairs of blocks, the student's beside the teacher's, caught while the networks run."""

    def __init__(self, pairs: Sequence[tuple[nn.Module, nn.Module]]) -> None:
        """Watch ``pairs`` of (student block, teacher block), for example U-Net stages of one name."""
        self.count = len(pairs)
        blocks: dict[Hashable, nn.Module] = {}
        for index, (student, teacher) in enumerate(pairs):
            blocks |= {("student", index): student, ("teacher", index): teacher}
        self._outputs = CaughtOutputs(blocks)
        self.catching = self._outputs.catching

    def loss(self) -> Float[Tensor, ""]:
        """Mean over pairs of the squared difference, relative to the teacher's mean square.

        The teacher may have run on more samples than the student, the student's first (guidance).
        Source: the feature term of BK-SDM (arXiv:2305.15798), here relative so that no block drowns others.

        Raises:
            ValueError: A pair of blocks differs in shape, or did not run.
        """
        terms: list[Tensor] = []
        for index in range(self.count):
            student, teacher = (self._outputs.caught.get((role, index)) for role in ("student", "teacher"))
            if student is None or teacher is None:
                raise ValueError(f"pair {index} of blocks to compare did not run in both networks")
            teacher = teacher[: len(student)] if len(teacher) > len(student) else teacher
            if student.shape != teacher.shape:
                raise ValueError(
                    f"pair {index} of blocks to compare has shapes {list(student.shape)} and "
                    f"{list(teacher.shape)}: compare stages of equal width and resolution"
                )
            difference = (student.float() - teacher.float()).square().mean()
            terms.append(difference / teacher.float().square().mean().clamp(min=1e-6))
        return torch.stack(terms).mean()


@contextmanager
def in_eval_mode(module: nn.Module) -> Generator[None, None, None]:
    """No dropout and no gradients for a target pass of the network that is being trained."""
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(was_training)
