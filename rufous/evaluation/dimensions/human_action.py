"""Whether a person does what the prompt says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import torch
from einops import rearrange
from torch import Tensor

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import ClipScore, Label, not_for
from rufous.evaluation.dimensions.resizing import action_pixels

NUM_FRAMES = 16
MIN_PROBABILITY = 0.85
Classifier: TypeAlias = Callable[[Tensor], Tensor]
"""From preprocessed clips [b 3 16 224 224] to logits [b labels]."""


@dataclass(frozen=True, kw_only=True)
class HumanAction:
    """1 if the action of the file's name is among the five likeliest labels and likely enough, else 0.

    A label counts from a sigmoid of 0.85, rounded to four digits.
    """

    classifier: Classifier
    labels: Sequence[str]
    """Kinetics-400's, lower case, in the order of the logits."""
    name: str = "human_action"
    label: Label = "parity-random"
    needs: ClassVar[str | None] = None
    version: ClassVar[int] = 1

    @torch.no_grad()
    def measure(self, clip: DecodedClip) -> ClipScore:
        """Score a clip whose file name is ``A person is ACTION-NUMBER``; others are not measured."""
        wanted = action_of(clip.name)
        if wanted not in self.labels:
            return not_for("its name tells no action that the classifier knows")
        pixels = rearrange(action_pixels(clip.middle(NUM_FRAMES)), "f c h w -> 1 c f h w")
        best = torch.sigmoid(self.classifier(pixels).float())[0].topk(5)
        found = [
            self.labels[index]
            for value, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            if round(value, 4) >= MIN_PROBABILITY
        ]
        is_right = wanted in found
        return ClipScore(
            value=float(is_right), details={"video_results": is_right, "cor_num_per_video": int(is_right)}
        )


def action_of(name: str) -> str:
    """The action in a file name: lower case, before the first ``-``, after ``person is``, before ``_``."""
    return name.lower().split("-")[0].split("person is ")[-1].split("_")[0]
