"""The student that meets a budget: choose blocks, build it, weigh it, and give up more if need be."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from rufous.compression.blocks import without_blocks
from rufous.compression.budget import WORDS, Budget, choose_blocks, choose_one_by_one
from rufous.compression.calls import NetworkCall
from rufous.compression.carry_over import carry_over
from rufous.compression.footprint import Footprint, Scales, total_of
from rufous.compression.sensitivity import output_change, outputs_of
from rufous.core.console import logger

_log = logger(__name__)
_SLACK = 0.01  # of a time limit: how much more the next attempt saves at least, as single times do not add up


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Importance of every block that can go; empty where it was not measured."""

    calls: Sequence[NetworkCall] = ()
    changes: Mapping[str, float] = field(default_factory=dict)
    """Output change of each block."""
    influences: Mapping[str, float] = field(default_factory=dict)

    @property
    def importance(self) -> dict[str, float]:
        """Output change, or else block influence; never below 0."""
        return {name: max(value, 0.0) for name, value in (self.changes or self.influences).items()}


def meet_budget(
    network: nn.Module,
    budget: Budget,
    before: Footprint,
    savings: Mapping[str, float],
    measured: Measured,
    *,
    scales: Scales,
    remeasure: bool = False,
) -> tuple[nn.Module, Footprint]:
    """The student of least importance lost whose own cost is within the budget, and that cost.

    Args:
        network: The teacher; the student shares its tensors.
        budget: To be met.
        before: Cost of the teacher.
        savings: What each block saves of what the budget limits.
        measured: Importance of each block.
        scales: Weigh the student.
        remeasure: Give up one block after another, and measure the rest anew each time.

    Raises:
        ValueError: No choice of blocks meets the budget.
    """
    limit, cost = budget.most(before), getattr(before, budget.measure)
    change = _output_change_of(network, measured) if remeasure else None
    needed, least = cost - limit, cost
    while total_of(savings, savings) >= needed:
        chosen = (
            choose_one_by_one(change, savings, needed)
            if change
            else choose_blocks(measured.importance, savings, needed)
        )
        student = carry_over(network, without_blocks(network.config, chosen))
        after = scales.weigh(student)
        reached = getattr(after, budget.measure)
        if reached <= limit:
            return student, after
        _log.info("%.4g of %.4g %s are left: more has to go", reached, limit, WORDS[budget.measure])
        least, needed = min(least, reached), needed + max(reached - limit, _SLACK * limit)
    raise ValueError(
        f"budget {budget.text!r} cannot be reached: it leaves {limit:,.4g} of {cost:,.4g} "
        f"{WORDS[budget.measure]}, and the least that was measured is {least:,.4g}; use a smaller budget"
    )


def _output_change_of(network: nn.Module, measured: Measured) -> Callable[[frozenset[str]], float]:
    """Output change of several blocks together; nothing is measured twice."""
    reference = outputs_of(network, measured.calls)
    known = {frozenset({name}): value for name, value in measured.changes.items()}

    def change(names: frozenset[str]) -> float:
        if names not in known:
            known[names] = output_change(network, names, measured.calls, reference)
            _log.info("without %s: output change %.4f", ", ".join(sorted(names)), known[names])
        return known[names]

    return change
