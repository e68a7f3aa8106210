"""What a reward is, which frames of a clip it gets, and mixtures of rewards with explicit weights.

A weight is a number of the mixture and nothing else: every process scores with all rewards, so the objective
is the same on one process and on eight. T2V-Turbo and Hummingbird give each process its own reward instead,
which makes the number of processes part of the weights (see docs/rewards.md).

Shapes: b batch, c latent channels, f frames, h w height and width (latents or pixels as said).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

Decode: TypeAlias = Callable[[Tensor], Tensor]
"""Scaled latents [b c f h w] to pixels in [-1, 1], each frame by itself."""
FrameChoice: TypeAlias = Literal["random", "stride"]


@runtime_checkable
class Reward(Protocol):
    """A score that is differentiable down to the pixels; its own weights are frozen and in eval mode."""

    @property
    def name(self) -> str:
        """Under which it is logged."""
        ...

    def score(self, video: Float[Tensor, "b 3 f h w"], prompts: Sequence[str]) -> Float[Tensor, " b"]:
        """One number for each clip, higher is better; ``video`` is RGB in [-1, 1].

        Raises:
            ValueError: Clips and prompts do not match, or the clip does not fit the model.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """One reward of a mixture: how much it counts and which frames it sees."""

    reward: Reward
    weight: float = 1.0
    """Factor in the total. 0 only logs the score, without gradients: a reward held out to notice cheating."""
    num_frames: int | None = None
    """How many distinct frames it gets, in their order; None for all."""
    frames: FrameChoice = "random"
    """``random``: any distinct ones. ``stride``: evenly spaced from a random first one."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight):
            raise ValueError(f"weight={self.weight} of {self.reward.name}: use a finite number")
        if self.num_frames is not None and self.num_frames < 1:
            raise ValueError(f"num_frames={self.num_frames} of {self.reward.name}: use 1 or more, or None")


@dataclass(frozen=True)
class Scores:
    """What a mixture gave: ``total`` carries the graph; ``parts`` are the unweighted scores by reward."""

    total: Float[Tensor, " b"]
    parts: dict[str, Float[Tensor, " b"]]

    def metrics(self) -> dict[str, Tensor | float]:
        """What to log: each part and the total."""
        parts = {f"reward_{name}": score.detach() for name, score in self.parts.items()}
        return {"reward": self.total.detach(), **parts}


class Mixture:
    """A weighted sum of rewards.

    total = sum_i weight_i * score_i
    """

    def __init__(self, parts: Sequence[Weighted]) -> None:
        """Keep the parts in their order.

        Raises:
            ValueError: No part, or two of one name.
        """
        names = [part.reward.name for part in parts]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"a mixture needs rewards of different names, not {names}")
        self.parts = tuple(parts)

    def score(
        self, video: Float[Tensor, "b 3 f h w"], prompts: Sequence[str], generator: torch.Generator
    ) -> Scores:
        """Score clips in [-1, 1]; ``generator`` chooses the frames.

        Raises:
            ValueError: Clips and prompts do not match, or there are fewer frames than a reward wants.
            FloatingPointError: Pixels or a score are not finite.
        """
        return self._score(video, self._choose(video.shape[2], generator), prompts)

    def score_latents(
        self,
        latents: Float[Tensor, "b c f h w"],
        prompts: Sequence[str],
        generator: torch.Generator,
        *,
        decode: Decode,
    ) -> Scores:
        """Score clips from latents: only frames that a reward sees are decoded, each once.

        Args:
            latents: Scaled, as the generator makes them; one latent frame for each frame of pixels.
            prompts: One for each clip.
            generator: Chooses the frames.
            decode: For example of ``decoding.sliced_decoder``; it must treat every frame by itself.

        Raises:
            ValueError: As ``score``, or the decoder changed the number of frames.
            FloatingPointError: As ``score``.
        """
        chosen = self._choose(latents.shape[2], generator)
        seen = sorted({frame for frames in chosen for frame in frames})
        video = decode(latents[:, :, seen])
        if video.shape[2] != len(seen):
            raise ValueError(
                f"the decoder made {video.shape[2]} frames of {len(seen)}: decode the clip, then call score"
            )
        return self._score(video, [[seen.index(frame) for frame in frames] for frames in chosen], prompts)

    def _choose(self, num_frames: int, generator: torch.Generator) -> list[list[int]]:
        """Frames for each part; every one draws, so that a weight of 0 changes no other part's frames."""
        return [
            choose_frames(num_frames, part.num_frames, part.frames, generator)
            if part.num_frames is not None
            else list(range(num_frames))
            for part in self.parts
        ]

    def _score(self, video: Tensor, chosen: list[list[int]], prompts: Sequence[str]) -> Scores:
        _check_finite(video, "pixels that are to be scored")
        total = video.new_zeros(len(video), dtype=torch.promote_types(video.dtype, torch.float32))
        scores: dict[str, Tensor] = {}
        for part, frames in zip(self.parts, chosen, strict=True):
            name = part.reward.name
            with torch.set_grad_enabled(torch.is_grad_enabled() and part.weight != 0):
                scores[name] = part.reward.score(video[:, :, frames], prompts)
            _check_finite(scores[name], f"scores of the reward {name}")
            if part.weight != 0:
                total = total + part.weight * scores[name]
        return Scores(total, scores)


def choose_frames(
    num_frames: int, num_chosen: int, choice: FrameChoice, generator: torch.Generator
) -> list[int]:
    """``num_chosen`` distinct indices below ``num_frames``, ascending.

    Args:
        num_frames: How many there are.
        num_chosen: How many are wanted.
        choice: ``stride`` steps by ``num_frames // num_chosen`` from a first index that is drawn evenly among
            those that fit; ``random`` draws any.
        generator: Source of the draw.

    Raises:
        ValueError: More frames are wanted than there are.
    """
    if num_chosen > num_frames:
        raise ValueError(
            f"a reward wants {num_chosen} distinct frames of a clip that has {num_frames}: lower num_frames"
        )
    if choice == "random":
        drawn = torch.randperm(num_frames, generator=generator, device=generator.device)[:num_chosen]
        return sorted(drawn.tolist())
    stride = num_frames // num_chosen
    last_start = num_frames - 1 - stride * (num_chosen - 1)
    start = int(torch.randint(last_start + 1, (), generator=generator, device=generator.device))
    return list(range(start, start + stride * num_chosen, stride))


def check_clips(video: Tensor, prompts: Sequence[str], *, name: str) -> None:
    """Refuse what no reward can score.

    Raises:
        ValueError: Not [b 3 f h w], no frame, or not one prompt for each clip.
    """
    if video.ndim != 5 or video.shape[1] != 3 or not video.shape[2]:
        raise ValueError(f"{name}: a video of shape {list(video.shape)} is not [b 3 f h w] with frames")
    if isinstance(prompts, str) or len(prompts) != len(video):
        count = "one text" if isinstance(prompts, str) else str(len(prompts))
        raise ValueError(f"{name}: {len(video)} clips need as many prompts in a list, not {count}")


def _check_finite(values: Tensor, what: str) -> None:
    if not bool(torch.isfinite(values).all()):
        raise FloatingPointError(
            f"{what} are NaN or infinite: the network before them overflowed; check its dtype, lower the "
            "learning rate or the weights of the rewards"
        )
