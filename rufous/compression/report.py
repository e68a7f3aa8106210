"""What a pruning did, as numbers, as a page and as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rufous.compression.calls import ClipSize
from rufous.compression.footprint import Footprint
from rufous.core.bar_chart import Bars, bar_chart


@dataclass(frozen=True, kw_only=True)
class BlockFigures:
    """One block that could go."""

    name: str
    parameters: int
    latency_s: float | None = None
    """Time within a pass of the unpruned network."""
    output_change: float | None = None
    """Relative change of the output when this block alone is skipped."""
    influence: float | None = None
    """1 - cosine of what it reads and what it writes."""
    is_removed: bool = False
    """Gone, by itself or with the stage it is a part of."""


@dataclass(frozen=True, kw_only=True)
class PruningReport:
    """What went, what it cost before and after, and how much each block matters."""

    goal: str
    """What was asked for: a budget, a preset, or a list of blocks."""
    removed: tuple[str, ...]
    """Blocks or stages of the teacher that the student lacks, in the teacher's names."""
    before: Footprint
    after: Footprint
    size: ClipSize
    """Of the clip whose pass is counted and timed."""
    timed_on: str | None = None
    """Device and dtype of the latencies; None if none were measured."""
    num_calls: int = 0
    """Calls of the network on which importance was measured; 0 if it was not."""
    output_change: float | None = None
    """Relative change of the output when all that was removed is skipped, before any training."""
    blocks: tuple[BlockFigures, ...] = ()
    num_tensors: int
    """Of the student; each holds a tensor of the teacher."""
    dropped_tensors: tuple[str, ...] = ()
    """The teacher's tensors that the student has no place for."""
    student_config: dict[str, Any]


def report_page(report: PruningReport, *, name: str, teacher: str) -> str:
    """The report in Markdown.

    Args:
        report: Of one pruning.
        name: The student's.
        teacher: Its teacher's, with the manifest's id.
    """
    size = report.size
    clip = f"{size.num_frames} frames of {size.height}x{size.width} latents, {size.num_tokens} text tokens"
    timed = f"Times are medians on {report.timed_on}" if report.timed_on else "Times were not measured"
    parts = [
        f"# {name}: {teacher}, pruned to {report.goal}",
        f"{len(report.removed)} blocks went. The {report.num_tensors} tensors that are left are the "
        f"teacher's own, {len(report.dropped_tensors)} were dropped. Nothing was trained since.",
        _cost_table(report),
        f"A pass is one call of the network for one clip: {clip}. A multiply and an add are two operations. "
        f"{timed}.",
        "## What went",
        "\n".join(f"* `{name}`" for name in report.removed),
    ]
    if report.num_calls:
        parts += ["## Importance", _importance_text(report), _importance_table(report.blocks)]
    return "\n\n".join(parts) + "\n"


def importance_picture(report: PruningReport) -> str:
    """The importance of every block as an SVG picture; removed blocks are red.

    Raises:
        ValueError: The report holds no importance.
    """
    blocks = report.blocks
    changes = [block.output_change for block in blocks if block.output_change is not None]
    influences = [max(block.influence, 0.0) for block in blocks if block.influence is not None]
    bars = [
        Bars(title="output change when skipped (square-root scale)", values=changes, has_root_scale=True),
        Bars(title="block influence", values=influences),
    ]
    bars = [each for each in bars if each.values]
    if not bars:
        raise ValueError("no importance was measured: there is nothing to draw")
    return bar_chart(
        [block.name for block in blocks], bars, marked=[block.is_removed for block in blocks], mark="removed"
    )


def _cost_table(report: PruningReport) -> str:
    before, after = report.before, report.after
    rows = [
        ("parameters", "{:,}", before.parameters, after.parameters),
        ("bytes", "{:,}", before.size_bytes, after.size_bytes),
        ("operations of a pass", "{:.3g}", before.flop, after.flop),
    ]
    if before.latency_s and after.latency_s:
        rows.append(("latency of a pass", "{:,.1f} ms", 1e3 * before.latency_s, 1e3 * after.latency_s))
    lines = [
        f"| {name} | {form.format(old)} | {form.format(new)} | {new / old - 1.0:+.1%} |"
        for name, form, old, new in rows
    ]
    return "\n".join(["| cost | before | after | change |", "|---|---|---|---|", *lines])


def _importance_text(report: PruningReport) -> str:
    text = (
        f"Measured on {report.num_calls} calls of the network. Output change: squared change of its output "
        "when the block alone is skipped, over the squared output (arXiv:2404.11098). "
        "Block influence: 1 - cosine of what the block reads and what it writes (arXiv:2403.03853)."
    )
    if report.output_change is not None:
        text += f" All that was removed, skipped together, changes the output by {report.output_change:.4f}."
    return f"{text}\n\n![importance](importance.svg)"


def _importance_table(blocks: Sequence[BlockFigures]) -> str:
    head = ["| block | parameters | time | output change | block influence | |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *map(_importance_row, blocks)])


def _importance_row(block: BlockFigures) -> str:
    time, change, influence = (
        "" if value is None else form.format(value)
        for form, value in (
            ("{:.2f} ms", None if block.latency_s is None else 1e3 * block.latency_s),
            ("{:.4f}", block.output_change),
            ("{:.4f}", block.influence),
        )
    )
    fate = "removed" if block.is_removed else ""
    return f"| `{block.name}` | {block.parameters:,} | {time} | {change} | {influence} | {fate} |"
