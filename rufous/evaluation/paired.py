"""Two results on the same clips' slots, compared pair by pair: what differs, and what only seems to.

Pairing takes out what the prompts have in common, which is most of the spread. Clips of one prompt tell less
than as many of several, so intervals resample prompts. Without correction for the number of rows: of twenty
rows that do not differ, one is expected to seem to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rufous.evaluation.bootstrap import FEWEST_PROMPTS, mean_interval
from rufous.evaluation.results_file import Results, Slot, clip_values


@dataclass(frozen=True, kw_only=True)
class RowDifference:
    """One row of two results, over the clips that both have."""

    row: str
    num_pairs: int
    num_prompts: int
    first: float
    second: float
    """Unweighted means over the pairs."""
    interval_95: tuple[float, float] | None
    """Of the mean of second minus first; None for too few prompts."""
    is_version_known: bool = True
    """False where an earlier program wrote one of both, which does not say by which formula."""

    @property
    def difference(self) -> float:
        """Second minus first."""
        return self.second - self.first

    @property
    def differs(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.interval_95 is not None and not self.interval_95[0] <= 0.0 <= self.interval_95[1]

    @property
    def sentence(self) -> str:
        """``no difference``, which one is higher by how much, or ``too few to tell``; and what is unknown."""
        unknown = "" if self.is_version_known else "; of an unknown version of the row"
        return self._finding + unknown

    @property
    def _finding(self) -> str:
        if self.interval_95 is None:
            return f"too few to tell: {self.num_prompts} prompts, {FEWEST_PROMPTS} or more are needed"
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
        told = first["rows"].get(row), second["rows"].get(row)
        if (reason := _why_not(*told)) is not None:
            left_out[row] = reason
            continue
        values, others = clip_values(first, row), clip_values(second, row)
        pairs = {slot: (value, others[slot]) for slot, value in values.items() if slot in others}
        if pairs:
            is_known = all(each is not None and "version" in each for each in told)
            compared.append(_difference(row, pairs, is_version_known=is_known))
        else:
            left_out[row] = "no clip in common"
    if not compared:
        raise ValueError(f"nothing to compare: {'; '.join(f'{row}: {why}' for row, why in left_out.items())}")
    return PairedComparison(rows=tuple(compared), left_out=left_out)


def _why_not(first: Mapping[str, Any] | None, second: Mapping[str, Any] | None) -> str | None:
    """Why two rows of one name cannot be compared; files of before may not say their version."""
    if first is None or second is None:
        return "only one of both has it"
    if first["networks"] != second["networks"]:
        return "measured with other networks"
    if "version" in first and "version" in second and first["version"] != second["version"]:
        return "measured by another version of the row"
    return None


def _difference(
    row: str, pairs: Mapping[Slot, tuple[float, float]], *, is_version_known: bool
) -> RowDifference:
    values = np.array(list(pairs.values()), dtype=np.float64)
    prompts = [prompt for prompt, _ in pairs]
    before, after = values.mean(axis=0)
    return RowDifference(
        row=row,
        num_pairs=len(pairs),
        num_prompts=len(set(prompts)),
        first=float(before),
        second=float(after),
        interval_95=mean_interval(values[:, 1] - values[:, 0], groups=prompts, fewest=FEWEST_PROMPTS),
        is_version_known=is_version_known,
    )
