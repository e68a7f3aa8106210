"""What a dimension is: one measure of one clip, and how the measures of many become a score.

Every published dataset score is a weighted mean of what its clips scored: each clip counts once, or as often
as it has frames that count.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from rufous.evaluation.dimensions.decoded_clip import DecodedClip

Label = Literal["verified", "parity-random", "exact", "proxy"]
"""``verified``: compared with published weights. ``parity-random``: equal to published code on random
weights. ``exact``: no model is in it. ``proxy``: another model than the published one, under a name of its
own."""


@dataclass(frozen=True, kw_only=True)
class ClipScore:
    """What one dimension says of one clip."""

    value: float | None
    """As a fraction; None where no frame of the clip counts."""
    weight: int = 1
    """How much the clip counts among others: 1, or its number of frames that count."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the published file holds beside the value, as plain JSON values."""


@runtime_checkable
class Dimension(Protocol):
    """One row. Frozen, and blind to how a clip was made."""

    @property
    def name(self) -> str:
        """Under which its scores are kept."""
        ...

    @property
    def label(self) -> Label:
        """How far it is verified."""
        ...

    needs: ClassVar[str | None]
    """Which entry of ``DecodedClip.auxiliary`` it reads; None for pixels and prompt alone."""
    version: ClassVar[int]
    """Raised with every change of what it measures: scores of other versions are not used again."""

    def measure(self, clip: DecodedClip) -> ClipScore:
        """Score one clip; what it is not made for gets ``not_for`` and no error.

        Raises:
            ValueError: The clip is too short, or lacks what ``needs`` names.
        """
        ...


def not_for(why: str) -> ClipScore:
    """No score, because the dimension is not made for such a clip; the clip itself is good."""
    return ClipScore(value=None, details={"note": why})


def dataset_score(scores: Iterable[ClipScore]) -> float | None:
    """The weighted mean over clips; None where nothing counts."""
    counted = [score for score in scores if score.value is not None and score.weight > 0]
    total = sum(score.weight for score in counted)
    return sum(score.weight * float(score.value or 0.0) for score in counted) / total if total else None


def needed(clip: DecodedClip, *names: str) -> str:
    """What the suite tells a dimension to look for in a clip.

    Args:
        clip: The clip.
        names: The dimension, and the names under which its ``auxiliary_info`` holds the text.

    Raises:
        ValueError: It tells nothing there.
    """
    found: Any = clip.auxiliary
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    if not isinstance(found, str) or not found:
        raise ValueError(
            f"{names[0]} does not know what to look for: auxiliary_info has no {' -> '.join(names)}"
        )
    return found


def too_small(clip: DecodedClip, min_side_px: int) -> ClipScore | None:
    """``not_for``, if a side of the clip is shorter than the row's network reads."""
    height, width = clip.frames.shape[-2:]
    if min(height, width) >= min_side_px:
        return None
    return not_for(f"its network reads frames from {min_side_px} pixels a side")


def at_least(clip: DecodedClip, count: int, dimension: str) -> None:
    """Refuse a clip of too few frames with a ``ValueError``."""
    if len(clip.frames) < count:
        raise ValueError(f"{dimension} needs {count} frames or more, the clip has {len(clip.frames)}")
