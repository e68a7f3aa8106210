"""All that a benchmark measured, and the figures that follow from it."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rufous.core.config import to_json_dict
from rufous.evaluation.benchmark.children import Reason
from rufous.evaluation.benchmark.machine import Machine, Peaks
from rufous.evaluation.benchmark.workload import STAGES, ClipPlan, How, Stage


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median, lowest and highest of several measurements."""

    median: float
    low: float
    high: float
    count: int

    @staticmethod
    def of(values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return Spread(median=statistics.median(values), low=min(values), high=max(values), count=len(values))


@dataclass(frozen=True, kw_only=True)
class RowResult:
    """What one row took; raw times are kept, all else follows from them."""

    name: str
    weights: str
    """Whose: a release's, or random ones."""
    how: How
    """Whole clips were timed, or single calls whose times are multiplied by ``calls`` and added up."""
    plan: ClipPlan
    dtype: str
    parameters: dict[str, int]
    tokens: dict[str, int]
    flop: dict[str, float]
    """Of a whole clip."""
    calls: dict[str, int]
    """Calls of each stage in a clip."""
    network_calls_per_step: int
    unet_bytes: int
    import_s: float
    """From the start of the process until all is imported."""
    load_s: float
    """Weights from the disk to the device; random ones are made instead."""
    cold_s: dict[str, float]
    """The first round: seconds of each stage."""
    warm_s: dict[str, tuple[float, ...]]
    """The rounds after it."""
    peak_resident_bytes: int
    """Of the process, Python and torch included."""
    peak_device_bytes: int | None
    """Of torch's allocator on a GPU; None on a CPU."""
    cold_peak_bytes: dict[str, int] | None = None
    """The first round: ``peak_bytes`` of each stage alone; None where the system cannot tell."""
    warm_peak_bytes: dict[str, int] | None = None
    """The highest of the rounds after it."""
    published_s: float | None = None

    def times_in_clip(self, stage: Stage) -> int:
        """What a stage's seconds are multiplied by for a clip."""
        return self.calls[stage] if self.how == "calls" else 1

    @property
    def has_no_warm_round(self) -> bool:
        """The first round took all of the time that a row may take, and counts as the warm one too."""
        return all(self.warm_s[stage] == (self.cold_s[stage],) for stage in STAGES)

    def stage_s(self, stage: Stage) -> Spread:
        """Seconds of a stage for a whole clip, warm."""
        return Spread.of([self.times_in_clip(stage) * value for value in self.warm_s[stage]])

    def step_s(self) -> Spread:
        """Seconds of one denoising step, warm."""
        steps = self.plan.num_inference_steps
        return Spread.of([self.times_in_clip("denoise") * s / steps for s in self.warm_s["denoise"]])

    def total_s(self) -> Spread:
        """Seconds of a clip, from the prompt to the file, warm."""
        rounds = zip(*(self.warm_s[stage] for stage in STAGES), strict=True)
        return Spread.of(
            [
                sum(self.times_in_clip(stage) * s for stage, s in zip(STAGES, each, strict=True))
                for each in rounds
            ]
        )

    def cold_total_s(self) -> float:
        """Seconds of the first clip of a fresh process, import and load included.

        Where single calls were timed: the first of each stage, and the others as long as warm ones.
        """
        rest = sum(
            (self.times_in_clip(stage) - 1) * statistics.median(self.warm_s[stage]) for stage in STAGES
        )
        return self.import_s + self.load_s + sum(self.cold_s.values()) + rest

    @property
    def peak_bytes(self) -> int:
        """Of the memory that limits what fits: the GPU's, or else the process's."""
        return self.peak_resident_bytes if self.peak_device_bytes is None else self.peak_device_bytes

    def flop_share(self, stage: Stage, peaks: Peaks) -> float | None:
        """Operations a second of a stage, over those of a matrix product; None if they were not counted."""
        if not self.flop.get(stage):
            return None
        return self.flop[stage] / self.stage_s(stage).median / peaks.flop_per_s[self.dtype]

    def copy_share(self, peaks: Peaks) -> float:
        """The denoising network's weights, read once a call, over what a copy moves in that time.

        A lower bound of the memory traffic: activations are not in it.
        """
        calls = self.network_calls_per_step * self.plan.num_inference_steps
        return self.unet_bytes * calls / self.stage_s("denoise").median / peaks.copy_bytes_per_s


@dataclass(frozen=True, kw_only=True)
class RowFailure:
    """A row without figures, and why."""

    name: str
    weights: str
    reason: Reason
    message: str
    peak_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class BenchmarkResults:
    """One run on one machine."""

    date: str
    """ISO 8601, UTC."""
    machine: Machine
    """Its peaks are those before the rows."""
    peaks_after: Peaks
    rows: tuple[RowResult | RowFailure, ...]
    """In the order in which they were asked for."""
    left_out: tuple[str, ...] = ()
    """What was not measured, and why."""

    @property
    def peaks(self) -> Peaks:
        """The better ones of before and after the rows, which shares refer to."""
        before, after = self.machine.peaks, self.peaks_after
        return Peaks(
            flop_per_s={name: max(rate, after.flop_per_s[name]) for name, rate in before.flop_per_s.items()},
            copy_bytes_per_s=max(before.copy_bytes_per_s, after.copy_bytes_per_s),
            load_average=before.load_average,
        )

    @property
    def drift(self) -> float:
        """How much the machine's matrix rate in the rows' dtype differed before and after, as a share."""
        before, after = (
            peaks.flop_per_s[self.machine.dtype] for peaks in (self.machine.peaks, self.peaks_after)
        )
        return abs(after - before) / max(after, before)

    @property
    def measured(self) -> list[RowResult]:
        """Rows with figures."""
        return [row for row in self.rows if isinstance(row, RowResult)]

    @property
    def failed(self) -> list[RowFailure]:
        """Rows without."""
        return [row for row in self.rows if isinstance(row, RowFailure)]


def to_report(results: BenchmarkResults) -> dict[str, Any]:
    """The results as JSON values: what was measured, and under ``figures`` what follows from it."""
    return {
        **to_json_dict(results),
        "rows": [_row_report(row, results.peaks) for row in results.rows],
        "drift": results.drift,
    }


def _row_report(row: RowResult | RowFailure, peaks: Peaks) -> dict[str, Any]:
    if isinstance(row, RowFailure):
        return {**to_json_dict(row), "failed": True}
    figures: Mapping[str, Any] = {
        "total_s": row.total_s(),
        "total_is_computed": row.how == "calls",
        "has_no_warm_round": row.has_no_warm_round,
        "cold_total_s": row.cold_total_s(),
        "step_s": row.step_s(),
        **{f"{stage}_s": row.stage_s(stage) for stage in STAGES},
        "peak_bytes": row.peak_bytes,
        "flop_shares": {stage: row.flop_share(stage, peaks) for stage in STAGES if row.flop.get(stage)},
        "copy_share": row.copy_share(peaks),
    }
    return {**to_json_dict(row), "failed": False, "figures": to_json_dict(figures)}
