"""Filters: which clips stay, by a measured number, a percentile of it, or a measured name.

A filter looks at one value of a clip: a score, a number of its ``info``, or ``length_s``. Percentiles are
taken over the clips that come to the filter, over all of them or for each folder or file by itself.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np

from rufous.core.config import to_json_dict
from rufous.core.errors import ConfigError
from rufous.data.clip import Clip

LENGTH = "length_s"
"""Seconds from the start of a clip to its end."""
SIGNS = (">=", "<=", "!=")
"""What tells the text of a filter from the name of a stage."""
_WHERE = r"(?:\s*@\s*(\S.*))?"
_BOUND = re.compile(
    r"(\w+)\s*(>=|<=)\s*(-?\d+(?:\.\d*)?(?:e-?\d+)?)\s*(%?)(?:/(folder|file))?(\??)" + _WHERE, re.IGNORECASE
)
_NAMES = re.compile(r"(\w+)\s*!=\s*([\w,-]+)" + _WHERE)
_AFTER_NAME = ": "
"""What ends the name of a stage or filter in ``Clip.dropped``."""
Limits = tuple[float | None, float | None]


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Keeps clips whose value lies between a minimum and a maximum, both inclusive."""

    value: str
    """Name of a score, of a number in ``info``, or ``length_s``."""
    min: float | None = None
    max: float | None = None
    min_percentile: float | None = None
    """Below the value under which this per cent of the clips lie, a clip is dropped."""
    max_percentile: float | None = None
    per: Literal["all", "folder", "file"] = "all"
    """Over which clips percentiles are taken: all, those of one top folder, or those of one file."""
    sources: str = "*"
    """Which clips are filtered, by a pattern for their ``source``; the others pass."""
    keeps_unmeasured: bool = False
    """Whether a clip without the value passes; a clip that nobody could measure is dropped otherwise."""

    def __post_init__(self) -> None:
        bounds = (self.min, self.max, self.min_percentile, self.max_percentile)
        if all(bound is None for bound in bounds):
            raise ConfigError(
                f"the filter of {self.value} has no bound: give min, max or a percentile of them"
            )
        if (self.min is not None and self.min_percentile is not None) or (
            self.max is not None and self.max_percentile is not None
        ):
            raise ConfigError(
                f"the filter of {self.value} has a value and a percentile for one bound: give one"
            )
        percentiles = [p for p in (self.min_percentile, self.max_percentile) if p is not None]
        if not all(0.0 < p < 100.0 for p in percentiles):
            raise ConfigError(f"{percentiles} of {self.value}: percentiles lie between 0 and 100")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ConfigError(f"min={self.min} of {self.value} is above max={self.max}: no clip would stay")
        if self.per != "all" and not percentiles:
            raise ConfigError(f"per={self.per!r} of {self.value} is for percentiles, and there is none")
        _check_pattern(self.sources)

    @property
    def name(self) -> str:
        """As on the command line, and another for each filter: ``technical>=10%/folder@films/*``."""
        parts = [
            f">={_spelled(self.min)}" if self.min is not None else "",
            f">={_spelled(self.min_percentile)}%" if self.min_percentile is not None else "",
            f"<={_spelled(self.max)}" if self.max is not None else "",
            f"<={_spelled(self.max_percentile)}%" if self.max_percentile is not None else "",
        ]
        per = "" if self.per == "all" else f"/{self.per}"
        unmeasured = "?" if self.keeps_unmeasured else ""
        return self.value + " ".join(filter(None, parts)) + per + unmeasured + _where(self.sources)

    def looks_at(self, clip: Clip) -> bool:
        """Whether the clip is of its sources."""
        return fnmatchcase(clip.source, self.sources)

    def limits(self, clips: Sequence[Clip]) -> dict[str, Limits]:
        """Smallest and largest value that stay, by group; percentiles are taken over ``clips``."""
        values: dict[str, list[float]] = {}
        for clip in clips:
            value = value_of(clip, self.value)
            if value is not None and self.looks_at(clip):
                values.setdefault(self.group(clip), []).append(value)
        return {
            group: (
                self.min if self.min_percentile is None else _percentile(found, self.min_percentile),
                self.max if self.max_percentile is None else _percentile(found, self.max_percentile),
            )
            for group, found in values.items()
        }

    def group(self, clip: Clip) -> str:
        """The clips with which its percentile is taken."""
        if self.per == "all":
            return ""
        return clip.source if self.per == "file" else clip.source.rpartition("/")[0].partition("/")[0]

    def is_known(self, clip: Clip) -> bool:
        """Whether the clip has the value, or need not have it."""
        needs_it = self.looks_at(clip) and not self.keeps_unmeasured
        return not needs_it or value_of(clip, self.value) is not None

    def refusal(self, clip: Clip, limits: Mapping[str, Limits]) -> str | None:
        """Why a clip does not pass; None if it does."""
        if not self.looks_at(clip):
            return None
        value = value_of(clip, self.value)
        if value is None:
            return None if self.keeps_unmeasured else f"{self.value} was not measured"
        low, high = limits.get(self.group(clip), (self.min, self.max))
        if low is not None and value < low:
            return f"{value:.4g} is below {low:.4g}"
        if high is not None and value > high:
            return f"{value:.4g} is above {high:.4g}"
        return None


@dataclass(frozen=True, kw_only=True)
class TagFilter:
    """Drops clips that a stage has given one of some names; a tag such as ``roll+zoom_in`` has two."""

    value: str
    """Name of a tag, such as ``camera_motion``."""
    refused: tuple[str, ...]
    sources: str = "*"

    def __post_init__(self) -> None:
        if not self.refused:
            raise ConfigError(f"the filter of {self.value} refuses nothing: name a tag")
        _check_pattern(self.sources)

    @property
    def name(self) -> str:
        """As on the command line: ``camera_motion!=dolly_zoom@films/*``."""
        return f"{self.value}!={','.join(self.refused)}{_where(self.sources)}"

    def looks_at(self, clip: Clip) -> bool:
        """Whether the clip is of its sources."""
        return fnmatchcase(clip.source, self.sources)

    def limits(self, clips: Sequence[Clip]) -> dict[str, Limits]:
        """Names have none."""
        return {}

    def is_known(self, clip: Clip) -> bool:
        """A clip without the tag passes."""
        return True

    def refusal(self, clip: Clip, limits: Mapping[str, Limits]) -> str | None:
        """Why a clip does not pass; None if it does."""
        tag = clip.tags.get(self.value, "")
        is_refused = not set(self.refused).isdisjoint(tag.split("+"))
        return f"it is {tag}" if is_refused and self.looks_at(clip) else None


AnyFilter = Filter | TagFilter


@dataclass(frozen=True, kw_only=True)
class FilterOutcome:
    """What one filter did in a run."""

    filter: AnyFilter
    limits: Mapping[str, Limits] = field(default_factory=dict)
    num_alone: int
    """Clips that it would take with these limits if it were the only filter; without those that a filter
    before it took and whose value is not known: a dry run finds the values of all."""
    num_in_order: int
    """Clips that it took after the filters before it."""
    num_left: int
    """Clips that were left after it."""


def filter_to_dict(filter_: AnyFilter) -> dict[str, Any]:
    """All of a filter as JSON has it, its name first."""
    return {"name": filter_.name, **to_json_dict(filter_)}


def value_of(clip: Clip, name: str) -> float | None:
    """A number of a clip by its name; None where it has none."""
    if name in clip.scores:
        return float(clip.scores[name])
    if name == LENGTH:
        return _length_s(clip)
    found = clip.info.get(name)
    return float(found) if isinstance(found, int | float) else None


def _length_s(clip: Clip) -> float | None:
    """To its end, but no further than its file goes."""
    name = "duration_s" if clip.end_s is None else "file_duration_s"
    known = clip.info.get(name)
    known = float(known) if isinstance(known, int | float) else None
    if clip.end_s is None:
        return known
    return (clip.end_s if known is None else min(clip.end_s, known)) - clip.start_s


def apply_filter(filter_: AnyFilter, clips: Sequence[Clip]) -> tuple[list[Clip], dict[str, Limits]]:
    """The clips, in their order, with those dropped that do not pass; and the limits that were used.

    Clips that were dropped before stay as they are, and no percentile counts them.
    """
    limits = filter_.limits([clip for clip in clips if clip.dropped is None])
    kept = []
    for clip in clips:
        reason = filter_.refusal(clip, limits) if clip.dropped is None else None
        kept.append(clip if reason is None else clip.drop(filter_.name, reason))
    return kept, limits


def check_known(filter_: AnyFilter, clips: Sequence[Clip]) -> None:
    """Refuse a filter that would drop all clips because nothing measured them.

    Raises:
        ConfigError: It looks at a value that none of the clips has which came to it.
    """
    coming = [clip for clip in clips if clip.dropped is None]
    if coming and not any(map(filter_.is_known, coming)):
        why = next((f" ({stage}: {reason})" for each in coming for stage, reason in each.errors.items()), "")
        raise ConfigError(
            f"{filter_.name} would drop all {len(coming)} clips that come to it, for none has "
            f"{filter_.value}{why}: nothing is written"
        )


def weigh_filters(
    used: Sequence[tuple[AnyFilter, Mapping[str, Limits]]], clips: Sequence[Clip]
) -> list[FilterOutcome]:
    """What each filter takes, alone and in order, of the clips that no stage dropped.

    Args:
        used: Filters in their order, with the limits that they had.
        clips: All rows of a run; what filters dropped in it is looked at as if they had not.
    """
    names = {filter_.name for filter_, _ in used}
    measured = [clip for clip in clips if clip.dropped is None or dropped_by(clip) in names]
    outcomes: list[FilterOutcome] = []
    left, gone = measured, list[Clip]()
    for filter_, limits in used:
        taken = [clip for clip in left if filter_.refusal(clip, limits) is not None]
        known = [clip for clip in gone if filter_.is_known(clip)]
        left = [clip for clip in left if filter_.refusal(clip, limits) is None]
        outcomes.append(
            FilterOutcome(
                filter=filter_,
                limits=limits,
                num_alone=len(taken) + sum(filter_.refusal(clip, limits) is not None for clip in known),
                num_in_order=len(taken),
                num_left=len(left),
            )
        )
        gone += taken
    return outcomes


def dropped_by(clip: Clip) -> str:
    """The stage or filter that dropped a clip; empty while it is kept."""
    return (clip.dropped or "").partition(_AFTER_NAME)[0]


def parse_filter(text: str) -> AnyFilter:
    """A filter from the command line.

    ``technical>=0.3``, ``flow<=20``, ``technical>=10%`` (drops the lowest tenth),
    ``camera_motion!=dolly_zoom,roll``; ``technical>=10%/folder`` (of each folder by itself, or ``/file``),
    ``match>=20?`` (keeps what was not measured), and at the end of any ``@films/*``: of these sources alone.

    Raises:
        ConfigError: It is none of these.
    """
    if found := _BOUND.fullmatch(text.strip()):
        value, sign, number, percent, per, unmeasured, sources = found.groups()
        bound = ("min" if sign == ">=" else "max") + ("_percentile" if percent else "")
        how: dict[str, Any] = {bound: float(number), "per": (per or "all").lower(), "sources": sources or "*"}
        return Filter(value=value, keeps_unmeasured=bool(unmeasured), **how)
    if found := _NAMES.fullmatch(text.strip()):
        return TagFilter(value=found[1], refused=tuple(found[2].split(",")), sources=found[3] or "*")
    raise ConfigError(
        f"{text!r} is no filter: write NAME>=NUMBER, NAME<=NUMBER, NAME>=NUMBER%, NAME>=NUMBER%/folder or "
        "NAME!=TAG, and @PATTERN behind it for some sources alone, in quotes"
    )


def _spelled(number: float) -> str:
    """A number by as few digits as tell it from all others."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def _where(sources: str) -> str:
    return "" if sources == "*" else f"@{sources}"


def _check_pattern(sources: str) -> None:
    """Refuse what could not be told from the reason behind a filter's name."""
    if _AFTER_NAME in f"{sources} " or not sources.strip():
        raise ConfigError(
            f"sources={sources!r}: write a pattern without a colon before a space, such as films/*"
        )


def _percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(values, percent))
