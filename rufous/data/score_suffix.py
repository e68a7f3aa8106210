"""Scores in words at the end of a caption: trained on, they can be asked for.

Open-Sora writes them in three ways: at inference ``aesthetic score: 6.5. motion score: 5.0. camera motion:
pan left.``; in training ``[aesthetic score: 6.5, motion score: 5.0]`` after ``Camera motion: pan left.``,
which its cleaning turns into small letters without brackets; and with commas in its report. Here the
first is written, in training and inference alike, and all three are read.

Source: Zheng et al. 2024 (arXiv:2412.20404), Open-Sora 1.2: ``append_score_to_prompts``, ``score_to_text``
and ``merge_cmotion``; one decimal for both scores.
"""

import math
import re
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from rufous.data.clip import Clip

CAMERA_MOTIONS = ("static", "pan right", "pan left", "zoom in", "zoom out", "tilt up", "tilt down")
"""What Open-Sora's captions name; other motions are left out of the text."""
KEEP = 0.8
"""How often each score is written in training, so that prompts without any work as well."""

_NUMBER = r"-?\d+(?:\.\d+)?"
_PARTS = {
    "aesthetic": rf"aesthetic score: ({_NUMBER})",
    "motion": rf"motion score: ({_NUMBER})",
    "camera": rf"camera motion: ({'|'.join(CAMERA_MOTIONS)})",
}
_LAST = re.compile(rf"(?:^|[\s.,\[])[\s,\[]*(?:{'|'.join(_PARTS.values())})[\s.,\]]*$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ScoreSuffix:
    """What is said of a clip's scores; None where nothing is."""

    aesthetic: float | None = None
    """As LAION's predictor gives it; 6.5 is high."""
    motion: float | None = None
    """Mean length of the flow in pixels, as Open-Sora measures it; 5 is moderate."""
    camera: str | None = None
    """One of ``CAMERA_MOTIONS``."""

    def __post_init__(self) -> None:
        for name in ("aesthetic", "motion"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name}={value} is no score")
        if self.camera is not None and self.camera not in CAMERA_MOTIONS:
            raise ValueError(f"camera={self.camera!r}: use one of {', '.join(CAMERA_MOTIONS)}, or None")

    def __str__(self) -> str:
        """The suffix as text, without a space before it; empty if nothing is said."""
        said = {
            "aesthetic score": None if self.aesthetic is None else _one_decimal(self.aesthetic),
            "motion score": None if self.motion is None else _one_decimal(self.motion),
            "camera motion": self.camera,
        }
        return " ".join(f"{name}: {value}." for name, value in said.items() if value is not None)


def with_suffix(caption: str, suffix: ScoreSuffix) -> str:
    """The caption with its scores; what it says already stays as it is.

    ``split_suffix`` gives both back, the scores with one decimal.
    """
    bare, said = split_suffix(caption)
    values = {each.name: getattr(said, each.name) for each in fields(said)}
    joined = replace(suffix, **{name: value for name, value in values.items() if value is not None})
    return f"{bare} {joined}".strip()


def split_suffix(text: str) -> tuple[str, ScoreSuffix]:
    """The caption without scores at its end, and those scores; of one that is named twice the last counts."""
    rest, found = text.strip(), dict[str, Any]()
    while match := _LAST.search(rest):
        name, value = next((n, v) for n, v in zip(_PARTS, match.groups(), strict=True) if v is not None)
        found.setdefault(name, value.lower() if name == "camera" else float(value))
        kept_stop = rest[match.start() : match.start() + 1] == "."  # of the caption's own last sentence
        rest = rest[: match.start() + kept_stop].rstrip()
    return rest, ScoreSuffix(**found)


def suffix_of(
    clip: Clip, *, aesthetic: str = "aesthetic", motion: str = "flow_open_sora", camera: str = "camera_motion"
) -> ScoreSuffix:
    """What a clip's scores and tags give; arguments are their names. Motions without a word are left out."""
    moved = clip.tags.get(camera, "").replace("_", " ")
    return ScoreSuffix(
        aesthetic=clip.scores.get(aesthetic),
        motion=clip.scores.get(motion),
        camera=moved if moved in CAMERA_MOTIONS else None,
    )


def some_of(suffix: ScoreSuffix, generator: torch.Generator, *, keep: float = KEEP) -> ScoreSuffix:
    """A suffix of which each score is kept by chance; the camera's motion always is, as published.

    Raises:
        ValueError: ``keep`` is outside [0, 1].
    """
    if not 0.0 <= keep <= 1.0:
        raise ValueError(f"keep={keep} is no probability: use a number in [0, 1]")
    aesthetic, motion = (torch.rand(2, generator=generator) < keep).tolist()
    return replace(
        suffix,
        aesthetic=suffix.aesthetic if aesthetic else None,
        motion=suffix.motion if motion else None,
    )


def _one_decimal(value: float) -> str:
    text = f"{value:.1f}"
    return "0.0" if text == "-0.0" else text
