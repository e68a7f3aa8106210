"""Two results on the same clips' slots, compared pair by pair: what differs, and what only seems to.

Pairing takes out what the prompts have in common, which is most of the spread. Without correction for the
number of rows: of twenty rows that do not differ, one is expected to seem to.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rufous.evaluation.bootstrap import mean_interval
from rufous.evaluation.results_file import Results, clip_values

MIN_PAIRS = 2


@dataclass(frozen=True, kw_only=True)
class RowDifference:
    """One row of two results, over the clips that both have."""

    row: str
    num_pairs: int
    first: float
    second: float
    """Unweighted means over the pairs."""
    interval_95: tuple[float, float]
    """Of the mean of second minus first."""

    @property
    def difference(self) -> float:
        """Second minus first."""
        return self.second - self.first

    @property
    def differs(self) -> bool:
        """Whether the interval leaves 0 out."""
        low, high = self.interval_95
        return not low <= 0.0 <= high

    @property
    def sentence(self) -> str:
        """``no difference``, or which one is higher by how much."""
        low, high = self.interval_95
        if not self.differs:
            return f"no difference (95 % interval {low:+.4f} to {high:+.4f})"
        side = "higher" if self.difference > 0 else "lower"
        return f"second {side} by {abs(self.difference):.4f} (95 % interval {low:+.4f} to {high:+.4f})"


@dataclass(frozen=True, kw_only=True)
class PairedComparison:
    """All rows that can be compared, and why others cannot."""

    rows: tuple[RowDifference, ...]
    left_out: Mapping[str, str]


def compare_results(first: Results, second: Results) -> PairedComparison:
    """Compare every row of two results on the prompts and numbers that both have.

    Raises:
        ValueError: No row can be compared.
    """
    compared: list[RowDifference] = []
    left_out: dict[str, str] = {}
    for row in dict.fromkeys((*first["rows"], *second["rows"])):
        if row not in first["rows"] or row not in second["rows"]:
            left_out[row] = "only one of both has it"
        elif first["rows"][row]["networks"] != second["rows"][row]["networks"]:
            left_out[row] = "measured with other networks"
        else:
            values, others = clip_values(first, row), clip_values(second, row)
            slots = [slot for slot in values if slot in others]
            if len(slots) < MIN_PAIRS:
                left_out[row] = f"{len(slots)} clips in common: {MIN_PAIRS} or more are needed"
                continue
            compared.append(_difference(row, [values[s] for s in slots], [others[s] for s in slots]))
    if not compared:
        raise ValueError(f"nothing to compare: {'; '.join(f'{row}: {why}' for row, why in left_out.items())}")
    return PairedComparison(rows=tuple(compared), left_out=left_out)


def _difference(row: str, first: list[float], second: list[float]) -> RowDifference:
    pairs = np.array([first, second], dtype=np.float64)
    interval = mean_interval(pairs[1] - pairs[0])
    if interval is None:
        raise ValueError(f"{row}: {len(first)} pairs are too few")
    before, after = pairs.mean(axis=1)
    return RowDifference(
        row=row, num_pairs=len(first), first=float(before), second=float(after), interval_95=interval
    )
