"""The student that meets a budget: choose blocks, build it, weigh it, and give up more if need be."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from rufous.compression.blocks import without_blocks
from rufous.compression.budget import WORDS, Budget, choose_blocks, choose_one_by_one
from rufous.compression.calls import NetworkCall
from rufous.compression.carry_over import carry_over, plan_carry_over
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
) -> tuple[nn.Module, Footprint, Footprint]:
    """The student of least importance lost whose own cost is within the budget.

    Args:
        network: The teacher; the student shares its tensors.
        budget: To be met.
        before: Cost of the teacher.
        savings: What each block saves of what the budget limits.
        measured: Importance of each block.
        scales: Weigh teacher and student.
        remeasure: Give up one block after another, and measure the rest anew each time.

    Returns:
        The student, the teacher's cost and the student's, weighed in turn.

    Raises:
        ValueError: No choice of blocks meets the budget.
    """
    cost, word = getattr(before, budget.measure), WORDS[budget.measure]
    change = _output_change_of(network, measured) if remeasure else None
    needed, least = cost - budget.most(before), 1.0
    while total_of(savings, savings) >= needed:
        chosen = (
            choose_one_by_one(change, savings, needed)
            if change
            else choose_blocks(measured.importance, savings, needed)
        )
        student = carry_over(network, _named_shortly(network.config, chosen))
        weighed, after = scales.weigh(network, student)
        left = getattr(after, budget.measure) / getattr(weighed, budget.measure)
        limit = budget.most(weighed) / getattr(weighed, budget.measure)
        if left <= limit * (1 + 1e-9):
            return student, weighed, after
        _log.info("%.1f %% of the %s are left, the budget is %.1f %%", 100 * left, word, 100 * limit)
        least, needed = min(least, left), needed + max(left - limit, _SLACK) * cost
    raise ValueError(
        f"budget {budget.text!r} cannot be reached: the least {word} that were measured are {least:.1%} of "
        "the unpruned network's; use a smaller budget"
    )


def _named_shortly(teacher: Any, chosen: Iterable[str]) -> Any:
    """The student's config; where the parts that go are the whole of a stage, the stage is named."""
    removed = plan_carry_over(teacher, without_blocks(teacher, chosen)).removed
    return without_blocks(teacher, removed)


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
