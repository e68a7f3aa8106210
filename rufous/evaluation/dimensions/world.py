"""Rows for clips of the procedural world, measured from pixels alone: truth, motion, smoothness, features."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import torch
from jaxtyping import UInt8
from torch import Tensor

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import ClipScore, Label, at_least, not_for
from rufous.world.captions import parse_caption
from rufous.world.truth import judge

EmbedFrames: TypeAlias = Callable[[UInt8[Tensor, "f 3 h w"]], Tensor]
"""From the frames of a clip to its features [e], on the CPU."""


@dataclass(frozen=True, kw_only=True)
class WorldTruth:
    """1 if the clip shows all that its prompt says, else 0; prompts outside the grammar do not count."""

    name: str = "world_truth"
    label: Label = "exact"
    needs: ClassVar[str | None] = None
    version: ClassVar[int] = 1

    def measure(self, clip: DecodedClip) -> ClipScore:
        """Judge a clip of two frames or more."""
        description = parse_caption(clip.prompt)
        if description is None:
            return not_for("the prompt is outside the world's grammar")
        verdict = judge(description, clip.in_world)
        details = {"attributes": dict(verdict.attributes), "reasons": list(dict.fromkeys(verdict.reasons))}
        return ClipScore(value=float(verdict.all_right), details=details)


@dataclass(frozen=True, kw_only=True)
class WorldMotion:
    """How far things move, in shorter sides a second; not a fraction, and more is not always better."""

    name: str = "world_motion"
    label: Label = "exact"
    needs: ClassVar[str | None] = None
    version: ClassVar[int] = 1

    def measure(self, clip: DecodedClip) -> ClipScore:
        """Measure a clip of two frames or more."""
        return ClipScore(value=clip.in_world.motion_magnitude)


@dataclass(frozen=True, kw_only=True)
class WorldSmoothness:
    """How free the paths are of jumps and the picture of flicker, in [0, 1]."""

    name: str = "world_smoothness"
    label: Label = "exact"
    needs: ClassVar[str | None] = None
    version: ClassVar[int] = 2

    def measure(self, clip: DecodedClip) -> ClipScore:
        """Measure a clip of two frames or more."""
        return ClipScore(value=clip.in_world.smoothness)


@dataclass(frozen=True, kw_only=True)
class WorldFeatures:
    """Features of the world's own video-text model, for the Frechet distance between sets; no score.

    A proxy, because this network stands where published distances of this kind have I3D.
    """

    embed: EmbedFrames
    name: str = "world_features"
    label: Label = "proxy"
    needs: ClassVar[str | None] = None
    version: ClassVar[int] = 2

    @torch.no_grad()
    def measure(self, clip: DecodedClip) -> ClipScore:
        """Embed a clip of two frames or more, and tell its length and rate.

        Raises:
            ValueError: A single frame: it has no rate.
            FloatingPointError: A feature is NaN or infinite.
        """
        at_least(clip, 2, self.name)
        features = self.embed(clip.frames)
        if not bool(features.isfinite().all()):
            raise FloatingPointError("a feature is NaN or infinite: the weights or the clip are damaged")
        rounded = [round(value, 6) for value in features.tolist()]
        details = {"features": rounded, "num_frames": len(clip.frames), "fps": clip.fps}
        return ClipScore(value=None, details=details)
