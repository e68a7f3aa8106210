"""What conditions a network: one frozen dataclass with only optional fields.

Shapes: b batch, s text tokens, d text features, g guidance features, c channels, f frames, h w latent size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """Everything a network may read beside latents and timesteps; each network says which fields it needs.

    Every tensor has the batch as its first axis, so a batch of conditionings can be cut and joined.
    """

    prompt_embeds: Float[Tensor, "b s d"] | None = None
    prompt_mask: Bool[Tensor, "b s"] | None = None
    """True where a token counts."""
    fps: Float[Tensor, " b"] | None = None
    """Frames per second of the clip."""
    guidance_embeds: Float[Tensor, "b g"] | None = None
    """Guidance scale, already embedded (see ``diffusion.guidance.embed_guidance_scale``)."""
    image_latents: Float[Tensor, "b c f h w"] | None = None
    frame_mask: Bool[Tensor, "b f"] | None = None
    """True where a frame is to be generated, False where it is given."""
    frame_indices: Float[Tensor, "b f"] | None = None
    """Which frames of the clip these are, counted from 0; None: all of them, in order."""
    clip_frames: Float[Tensor, " b"] | None = None
    """Frames of the whole clip, where ``frame_indices`` says that these are some of them."""
    height: Float[Tensor, " b"] | None = None
    """Height of the clip in pixels."""
    width: Float[Tensor, " b"] | None = None
    """Width of the clip in pixels."""

    def map(self, function: Callable[[Tensor], Tensor]) -> Conditioning:
        """Apply ``function`` to every tensor that is present."""
        present = {f.name: getattr(self, f.name) for f in fields(self)}
        return Conditioning(**{k: None if v is None else function(v) for k, v in present.items()})

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Conditioning:
        """Move every tensor to ``device``; floating-point ones also to ``dtype`` if it is given."""
        return self.map(lambda x: x.to(device, dtype if x.is_floating_point() else None))

    def __getitem__(self, index: slice | Tensor) -> Conditioning:
        """Select part of the batch."""
        return self.map(lambda x: x[index])

    @staticmethod
    def concatenate(parts: Sequence[Conditioning]) -> Conditioning:
        """Join conditionings along the batch.

        Raises:
            ValueError: A field is present in some parts and absent in others.
        """
        joined: dict[str, Tensor | None] = {}
        for field in fields(Conditioning):
            values = [getattr(part, field.name) for part in parts]
            absent = [value is None for value in values]
            if any(absent) and not all(absent):
                raise ValueError(f"cannot join conditionings: {field.name} is set in some and None in others")
            joined[field.name] = None if all(absent) else torch.cat(values)
        return Conditioning(**joined)
