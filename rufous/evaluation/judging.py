"""What a clip shows of its prompt and how much it moves, from one measurement; and means over many clips."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from rufous.evaluation.bootstrap import mean_interval
from rufous.world.captions import parse_caption
from rufous.world.truth import Verdict, judge, measure, score

OUTSIDE_THE_WORLD = "the prompt is outside the world's grammar, so truth is not judged"


@dataclass(frozen=True, kw_only=True)
class JudgedClip:
    """What the pixels of one clip tell."""

    motion_magnitude: float | None
    """As ``rufous.world.measure`` gives it; None for a clip that cannot be measured."""
    verdict: Verdict | None
    """None for a prompt outside the world's grammar, or a clip that cannot be measured."""
    note: str | None = None
    """Why something is None."""


def judge_clip(frames: UInt8[Tensor, "f 3 h w"], fps: float, prompt: str) -> JudgedClip:
    """Measure a clip once: how much moves, and whether it shows what the prompt says."""
    try:
        measured = measure(frames, fps)
    except ValueError as error:
        return JudgedClip(motion_magnitude=None, verdict=None, note=str(error))
    description = parse_caption(prompt)
    return JudgedClip(
        motion_magnitude=measured.motion_magnitude,
        verdict=None if description is None else judge(description, measured),
        note=OUTSIDE_THE_WORLD if description is None else None,
    )


def share_all_right(clips: Sequence[JudgedClip]) -> float:
    """Share of clips that show all that their prompts say.

    Raises:
        ValueError: There are no clips, or one whose truth was not judged.
    """
    return fmean(rightness(clips))


def rightness(clips: Sequence[JudgedClip]) -> list[float]:
    """1 for each clip that shows all that its prompt says, 0 for each other.

    Raises:
        ValueError: There are no clips, or one whose truth was not judged.
    """
    return [float(verdict.all_right) for verdict in _verdicts(clips)]


def mean_motion(clips: Sequence[JudgedClip]) -> float:
    """Mean motion magnitude, in shorter sides a second.

    Raises:
        ValueError: There are no clips, or one that cannot be measured.
    """
    return fmean(motions(clips))


def motions(clips: Sequence[JudgedClip]) -> list[float]:
    """Motion magnitude of each clip, in shorter sides a second.

    Raises:
        ValueError: There are no clips, or one that cannot be measured.
    """
    found = [clip.motion_magnitude for clip in clips if clip.motion_magnitude is not None]
    _check_complete(clips, found)
    return found


def truth_figures(clips: Sequence[JudgedClip]) -> dict[str, object]:
    """Shares of right clips by attribute, ``all_right`` with its 95 % interval, and mean motion, rounded.

    Raises:
        ValueError: There are no clips, or one whose truth was not judged.
    """
    verdicts = _verdicts(clips)
    right = np.array([verdict.all_right for verdict in verdicts], dtype=np.float64)
    low, high = mean_interval(right) or (float(right[0]), float(right[0]))
    return {
        **{name: round(row["right"], 4) for name, row in score(verdicts).items()},
        "all_right_95": [round(low, 4), round(high, 4)],
        "motion_magnitude": round(mean_motion(clips), 4),
        "num_clips": len(clips),
    }


def _verdicts(clips: Sequence[JudgedClip]) -> list[Verdict]:
    verdicts = [clip.verdict for clip in clips if clip.verdict is not None]
    _check_complete(clips, verdicts)
    return verdicts


def _check_complete(clips: Sequence[JudgedClip], judged: Sequence[object]) -> None:
    if not clips or len(judged) < len(clips):
        notes = "; ".join(dict.fromkeys(clip.note for clip in clips if clip.note)) or "there are none"
        raise ValueError(f"{len(judged)} of {len(clips)} clips were judged: {notes}")
