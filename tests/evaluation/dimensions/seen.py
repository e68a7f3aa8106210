"""Clips, and detectors that see what a test says."""

import torch

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.detections import Detection

LEFT = (0.0, 0.0, 10.0, 10.0)


def blank_clip(prompt: str = "", name: str = "", size: int = 32, **auxiliary: object) -> DecodedClip:
    frames = torch.zeros(16, 3, size, size, dtype=torch.uint8)
    return DecodedClip(frames=frames, fps=8.0, prompt=prompt, name=name, auxiliary=auxiliary)


def seeing(*frames: list[Detection]):
    """A detector that sees these things in the first frames and nothing in the others."""
    return lambda shown: [*frames, *[[]] * (len(shown) - len(frames))]


def thing(name: str, box: tuple[float, float, float, float] = LEFT, caption: str = "") -> Detection:
    return Detection(name=name, box=box, caption=caption)
