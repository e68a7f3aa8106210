"""One clip on its way through curation: where it lies, what was measured, and why it was dropped."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rufous.data.media import ClipMedia

Value = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A stretch of a video file and all that is known of it; stages return changed copies."""

    source: str
    """Path below the root of the run, with forward slashes."""
    start_s: float = 0.0
    """Seconds after the file's first frame."""
    end_s: float | None = None
    """None: until the file ends."""
    content_id: str = ""
    """Same bytes and times, same id, wherever the file lies; set by ``probe``."""
    info: Mapping[str, Value] = field(default_factory=dict)
    """What the file says: ``width``, ``height``, ``fps``, ``codec`` and so on; and of the clip's own frames
    ``num_frames`` and ``duration_s``, which whoever cuts it changes (``measured``)."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Measured numbers; filters look at these. Never NaN."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Measured names, such as ``camera_motion: pan_left``."""
    captions: Mapping[str, str] = field(default_factory=dict)
    """By kind: ``original``, ``described`` by a vision-language model, ``rewritten`` by a language model."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """What went wrong, by stage."""
    dropped: str | None = None
    """``stage: reason`` of the stage or filter that dropped it; None while it is kept."""
    brought: str = field(default="", compare=False, repr=False)
    """A hash of what a list or manifest told of it, while a run works on it; see ``known_before``."""
    media: ClipMedia | None = field(default=None, compare=False, repr=False)
    """Its frames while a worker holds it; no manifest stores them."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start_s) and self.start_s >= 0.0):
            raise ValueError(f"start_s={self.start_s} is no time: use seconds, 0 or more")
        if self.end_s is not None and not (math.isfinite(self.end_s) and self.end_s > self.start_s):
            raise ValueError(f"end_s={self.end_s} must be a number of seconds above start_s={self.start_s}")
        if wrong := [name for name, score in self.scores.items() if not math.isfinite(score)]:
            raise ValueError(f"scores[{wrong[0]!r}]={self.scores[wrong[0]]} is no number")

    @property
    def place(self) -> tuple[str, float, float]:
        """What tells clips of a run apart, and orders them: source, start, and end (infinite for None)."""
        return self.source, self.start_s, math.inf if self.end_s is None else self.end_s

    @property
    def key(self) -> str:
        """A name for files that no other clip of a run has, and that is the same in each: 20 letters."""
        told = f"{self.source}\n{self.start_s!r}\n{self.end_s!r}"
        return hashlib.sha256(told.encode()).hexdigest()[:20]

    def identified(self) -> "Clip":
        """With the ``content_id`` of its file's bytes, which ``info["sha256"]`` holds, and its times."""
        told = f"{self.info.get('sha256', '')} {self.start_s!r} {self.end_s!r}"
        return replace(self, content_id=hashlib.sha256(told.encode()).hexdigest())

    def measured(self) -> "Clip":
        """With ``num_frames`` and ``duration_s`` of its own frames, whatever else its file holds.

        Raises:
            ValueError: The file is damaged, or no worker holds the clip.
        """
        media = self.frames()
        return self.with_info(num_frames=len(media.frame_numbers), duration_s=media.length_s)

    def frames(self) -> ClipMedia:
        """Its media.

        Raises:
            ValueError: No worker holds it; stages get clips with media.
        """
        if self.media is None:
            raise ValueError(f"{self.source} has no media here: a stage was asked outside a worker")
        return self.media

    def with_info(self, **info: Value) -> "Clip":
        """More of what the file says."""
        return replace(self, info={**self.info, **info})

    def with_scores(self, **scores: float) -> "Clip":
        """More measured numbers."""
        return replace(self, scores={**self.scores, **scores})

    def with_tags(self, **tags: str) -> "Clip":
        """More measured names."""
        return replace(self, tags={**self.tags, **tags})

    def with_captions(self, **captions: str) -> "Clip":
        """More captions; earlier ones of other kinds stay."""
        return replace(self, captions={**self.captions, **captions})

    def with_error(self, stage: str, reason: str) -> "Clip":
        """What went wrong in a stage; the clip goes on without that stage's results."""
        return replace(self, errors={**self.errors, stage: reason})

    def drop(self, stage: str, reason: str) -> "Clip":
        """Take no further part; the first reason stands."""
        return self if self.dropped is not None else replace(self, dropped=f"{stage}: {reason}")

    def to_dict(self) -> dict[str, Any]:
        """All that a manifest stores, as JSON has it."""
        return {
            "source": self.source,
            "start_s": self.start_s,
            "end_s": self.end_s,
            "content_id": self.content_id,
            "info": dict(self.info),
            "scores": dict(self.scores),
            "tags": dict(self.tags),
            "captions": dict(self.captions),
            "errors": dict(self.errors),
            "dropped": self.dropped,
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Clip":
        """What ``to_dict`` gave.

        Raises:
            ValueError: A field is unknown, or has no such value.
        """
        known = {"source", "start_s", "end_s", "content_id", "info", "scores", "tags", "captions"}
        known |= {"errors", "dropped"}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown {', '.join(unknown)}: a clip has {', '.join(sorted(known))}")
        if not isinstance(values.get("source"), str) or not values["source"]:
            raise ValueError(f"source={values.get('source')!r} is no path")
        return Clip(**values)
