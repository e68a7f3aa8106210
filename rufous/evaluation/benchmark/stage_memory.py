"""Peak memory of each stage of each round: of torch's allocator on a GPU, of the process elsewhere.

A peak counts all that is in memory during the stage, weights included. Where the system cannot begin a new
peak (Linux can), only the highest of all is known.
"""

from collections.abc import Sequence

import torch

from rufous.core.devices import peak_memory_bytes, reset_peak_memory
from rufous.evaluation.benchmark.workload import Stage

Peaks = dict[Stage, int]


class StageMemory:
    """Owns the peaks of the rounds so far; begins a new peak with each stage."""

    def __init__(self, device: torch.device) -> None:
        """Nothing is measured yet."""
        self.highest = 0
        """Of the process so far, loading included."""
        self._device, self._is_by_stage = device, True
        self._stage: Stage | None = None
        self._rounds: list[Peaks] = [{}]

    def begin(self, stage: Stage) -> None:
        """A stage begins, and the one before it is done."""
        self._end_stage()
        self._stage = stage

    def end_round(self) -> None:
        """The last stage of a round is done."""
        self._end_stage()
        self._stage = None
        self._rounds.append({})

    def cold(self) -> Peaks | None:
        """Of the first round; None where it cannot be told by stage."""
        return self._rounds[0] if self._is_by_stage else None

    def warm(self) -> Peaks | None:
        """The highest of the later rounds, or those of the first if it is the only one; None as for cold."""
        return _highest(self._rounds[1:-1] or self._rounds[:1]) if self._is_by_stage else None

    def _end_stage(self) -> None:
        peak = peak_memory_bytes(self._device)
        self.highest = max(self.highest, peak)
        if self._stage is not None:
            self._rounds[-1][self._stage] = max(peak, self._rounds[-1].get(self._stage, 0))
        self._is_by_stage = reset_peak_memory(self._device) and self._is_by_stage


def _highest(rounds: Sequence[Peaks]) -> Peaks:
    return {stage: max(peaks[stage] for peaks in rounds) for stage in rounds[0]}
