"""A curation as one HTML file: what came in and what stayed, and for each filter its histogram with the clips
that lie nearest to its limits on both sides, or for names some clips of each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from rufous.core.files import write_text
from rufous.core.html_page import named_list, page, picture, table
from rufous.data.clip import Clip
from rufous.data.engine import Curated
from rufous.data.filters import Filter, FilterOutcome, Limits, TagFilter, dropped_by, value_of
from rufous.data.histogram import histogram
from rufous.data.media import ClipMedia, MediaSettings
from rufous.data.scan import ScanProblem

NUM_NEIGHBOURS = 3
MAX_GROUPS = 8
"""Folders or files whose own limits are shown with clips: those of which most is taken."""
NUM_FRAMES = 4
FRAME_PX = 96
"""Shorter side of a frame."""
GAP_PX = 2
MAX_ERRORS = 200
_STYLE = """
.neighbours { display: flex; flex-wrap: wrap; gap: .5rem 1rem; }
.neighbours figure { max-width: 24rem; margin: 0; }
.kept figcaption b { color: var(--one); } .dropped figcaption b { color: var(--two); }
"""


def write_report(
    path: Path | str,
    curated: Curated,
    *,
    title: str,
    root: Path,
    problems: Sequence[ScanProblem] = (),
    left_out: Mapping[str, str] | None = None,
    is_dry_run: bool = False,
) -> None:
    """Write the page, atomically.

    Args:
        path: The file.
        curated: What the run gave.
        title: What was curated, in plain text.
        root: Folder of the sources; clips that cannot be read are shown without frames.
        problems: What was passed over before the run.
        left_out: Stages and filters of the preset that could not take part, and why.
        is_dry_run: Whether the filters only looked.
    """
    body = [
        f"<h1>{escape(title)}</h1>\n",
        '<p class="soft">A dry run: filters dropped nothing.</p>\n' if is_dry_run else "",
        _counts(curated, problems),
        named_list("Left out", (left_out or {}).items()),
        _filters_table(curated.filters),
        *(_filter(outcome, curated.clips, root) for outcome in curated.filters),
        _reasons("Dropped", Counter(filter(None, map(dropped_by, curated.clips)))),
        _errors(curated.clips),
        named_list("Passed over", ((each.source, each.reason) for each in problems[:MAX_ERRORS])),
        _throughput(curated),
    ]
    write_text(path, page(title, "".join(body), style=_STYLE))


def _counts(curated: Curated, problems: Sequence[ScanProblem]) -> str:
    files = {clip.source for clip in curated.clips}
    with_errors = sum(bool(clip.errors) for clip in curated.clips)
    kept = curated.kept
    seconds = sum(value_of(clip, "length_s") or 0.0 for clip in kept)
    rows = [
        ("files", str(len(files))),
        ("clips", str(len(curated.clips))),
        ("kept", f"{len(kept)} ({_share(len(kept), len(curated.clips))}), {_duration(seconds)} of video"),
        ("dropped", str(len(curated.clips) - len(kept))),
        ("clips with errors", str(with_errors)),
        ("passed over before", str(len(problems))),
    ]
    return table(("what", "how many"), rows)


def _filters_table(outcomes: Sequence[FilterOutcome]) -> str:
    if not outcomes:
        return ""
    rows = [
        (
            each.filter.name,
            _limits_text(each),
            str(each.num_alone),
            str(each.num_in_order),
            str(each.num_left),
        )
        for each in outcomes
    ]
    header = ("filter", "limits", "takes alone", "takes in order", "left")
    return f"<h2>Filters</h2>\n{table(header, rows)}"


def _limits_text(outcome: FilterOutcome) -> str:
    limits = list(outcome.limits.values())
    if len(limits) > 1:
        return f"of {len(limits)} groups"
    parts = [f"{bound:.4g}" for low_high in limits for bound in low_high if bound is not None]
    return " to ".join(parts)


def _filter(outcome: FilterOutcome, clips: Sequence[Clip], root: Path) -> str:
    """Histogram and neighbours of one filter, over the clips that it looks at and that have its value."""
    filter_ = outcome.filter
    looked_at = [clip for clip in clips if filter_.looks_at(clip)]
    if isinstance(filter_, TagFilter):
        return _tags(outcome, filter_.value, looked_at, root)
    valued = [(value, clip) for clip in looked_at if (value := value_of(clip, filter_.value)) is not None]
    if not valued:
        return f'<h3>{escape(filter_.name)}</h3>\n<p class="soft">No clip has this value.</p>\n'
    drawn = histogram(
        [value for value, _ in valued],
        limits=_drawn_limits(outcome.limits),
        title=f"clips by {filter_.value}",
    )
    groups = _by_group(filter_, valued)
    shown = sorted(outcome.limits, key=lambda group: (-_num_taken(outcome, groups.get(group, [])), group))
    nearest = [
        _neighbours(
            groups.get(group, []), limit, is_minimum=side == 0, group=group, outcome=outcome, root=root
        )
        for group in shown[:MAX_GROUPS]
        for side, limit in enumerate(outcome.limits[group])
        if limit is not None
    ]
    more = len(shown) - MAX_GROUPS
    rest = f'<p class="soft">and {more} more groups; their limits are in run.json</p>\n' if more > 0 else ""
    return f'<h3>{escape(filter_.name)}</h3>\n<div class="plots">{drawn}</div>\n{"".join(nearest)}{rest}'


Valued = list[tuple[float, Clip]]


def _by_group(filter_: Filter, valued: Valued) -> dict[str, Valued]:
    groups: dict[str, Valued] = {}
    for value, clip in valued:
        groups.setdefault(filter_.group(clip), []).append((value, clip))
    return groups


def _num_taken(outcome: FilterOutcome, valued: Valued) -> int:
    return sum(outcome.filter.refusal(clip, outcome.limits) is not None for _, clip in valued)


def _drawn_limits(limits: Mapping[str, Limits]) -> list[float]:
    return sorted({limit for pair in limits.values() for limit in pair if limit is not None})


def _neighbours(
    valued: Valued, limit: float, *, is_minimum: bool, group: str, outcome: FilterOutcome, root: Path
) -> str:
    """The clips of a group nearest to a limit on either side."""
    near = sorted(valued, key=lambda each: (abs(each[0] - limit), each[1].place))
    inside = [each for each in near if (each[0] >= limit) == is_minimum or each[0] == limit]
    outside = [each for each in near if each[0] != limit and (each[0] >= limit) != is_minimum]
    told = f"nearest to {limit:.4g}" + (f" in {group}" if group else "")
    return "".join(
        _row_of_clips(name, told, [(f"{value:.4g}", clip) for value, clip in found], outcome, root)
        for name, found in (("kept", inside), ("dropped", outside))
    )


def _tags(outcome: FilterOutcome, value: str, clips: Sequence[Clip], root: Path) -> str:
    """How many clips have each name, and some of those that the filter keeps and drops."""
    tagged = [(clip.tags[value], clip) for clip in clips if value in clip.tags]
    if not tagged:
        return f'<h3>{escape(outcome.filter.name)}</h3>\n<p class="soft">No clip has this tag.</p>\n'
    by_side: dict[str, list[tuple[str, Clip]]] = {"kept": [], "dropped": []}
    for tag, clip in tagged:
        side = "kept" if outcome.filter.refusal(clip, outcome.limits) is None else "dropped"
        by_side[side].append((tag, clip))
    rows = [
        _row_of_clips(side, "some of them", _varied(found, outcome), outcome, root)
        for side, found in by_side.items()
    ]
    return _reasons(outcome.filter.name, Counter(tag for tag, _ in tagged), level=3) + "".join(rows)


def _varied(tagged: Sequence[tuple[str, Clip]], outcome: FilterOutcome) -> list[tuple[str, Clip]]:
    """One clip of each name, then a second, and so on; last those that other filters took."""
    seen: Counter[tuple[bool, str]] = Counter()
    ranked: list[tuple[bool, int, str, Clip]] = []
    for tag, clip in tagged:
        is_others = dropped_by(clip) not in ("", outcome.filter.name)
        ranked.append((is_others, seen[is_others, tag], tag, clip))
        seen[is_others, tag] += 1
    return [(tag, clip) for _, _, tag, clip in sorted(ranked, key=lambda each: each[:3])]


def _row_of_clips(
    name: str, told: str, found: Sequence[tuple[str, Clip]], outcome: FilterOutcome, root: Path
) -> str:
    """The first of these clips, each under what the filter sees of it; nothing if there are none."""
    figures = "".join(_figure(text, clip, outcome, root) for text, clip in found[:NUM_NEIGHBOURS])
    return (
        f'<p>{name}, {escape(told)}:</p>\n<div class="neighbours {name}">{figures}</div>\n' if figures else ""
    )


def _figure(text: str, clip: Clip, outcome: FilterOutcome, root: Path) -> str:
    place = clip.source if not clip.start_s else f"{clip.source} from {clip.start_s:.2f} s"
    if clip.dropped is not None and dropped_by(clip) != outcome.filter.name:
        place += f", dropped by {dropped_by(clip)}"
    return (
        f"<figure>{_strip(clip, root)}<figcaption><b>{escape(text)}</b> "
        f'<span class="soft">{escape(place)}</span></figcaption></figure>\n'
    )


def _strip(clip: Clip, root: Path) -> str:
    """A few frames of a clip beside each other."""
    settings = MediaSettings(short_side=FRAME_PX, num_full=1, max_small=NUM_FRAMES)
    media = ClipMedia(root / clip.source, start_s=clip.start_s, end_s=clip.end_s, settings=settings)
    try:
        apart = np.pad(media.small, ((0, 0), (0, 0), (0, GAP_PX), (0, 0)), constant_values=205)
        return picture(np.concatenate(list(apart), axis=1)[:, :-GAP_PX], alt=f"frames of {clip.source}")
    except (ValueError, OSError):
        return '<p class="soft">cannot be read</p>'


def _reasons(title: str, counts: Mapping[str, int], *, level: int = 2) -> str:
    if not counts:
        return ""
    rows = [(name, str(count)) for name, count in sorted(counts.items(), key=lambda row: (-row[1], row[0]))]
    return f"<h{level}>{escape(title)}</h{level}>\n{table(('by', 'clips'), rows)}"


def _errors(clips: Sequence[Clip]) -> str:
    """How often each stage could not do its work, and why, file by file."""
    told = [(clip, stage, reason) for clip in clips for stage, reason in sorted(clip.errors.items())]
    if not told:
        return ""
    counts = Counter((stage, reason) for _, stage, reason in told)
    rows = [
        (stage, str(count), reason)
        for (stage, reason), count in sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    ]
    files = ((clip.source, f"{stage}: {reason}") for clip, stage, reason in told[:MAX_ERRORS])
    more = len(told) - MAX_ERRORS
    rest = f"<p>and {more} more, in the manifest</p>\n" if more > 0 else ""
    header = ("stage", "clips", "reason")
    return f"<h2>Errors</h2>\n{table(header, rows[:MAX_ERRORS])}{named_list('', files)}{rest}"


def _throughput(curated: Curated) -> str:
    worked = curated.num_worked_on
    rate = worked / curated.seconds if curated.seconds > 0 else 0.0
    total = sum(curated.stage_seconds.values()) or 1.0
    rows = [
        (name, f"{seconds:.1f} s", f"{seconds / max(worked, 1):.3f} s", _share(seconds, total))
        for name, seconds in sorted(curated.stage_seconds.items(), key=lambda row: -row[1])
    ]
    said = (
        f"<p>{worked} clips were worked on in {_duration(curated.seconds)} ({rate:.2f} a second); "
        f"{curated.num_known} were known from earlier runs.</p>\n"
    )
    note = (
        '<p class="soft">Wall time of all workers; the first stage that looks at frames decodes them.</p>\n'
    )
    header = ("stage", "time", "a clip", "share")
    return f"<h2>Throughput</h2>\n{said}{table(header, rows) + note if rows else ''}"


def _share(part: float | int, whole: float | int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _duration(seconds: float | int) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min"
        if hours
        else (f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s")
    )
