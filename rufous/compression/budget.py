"""What a pruned network may cost, which blocks to give up for it, and the student within it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import nn

from rufous.compression.blocks import outermost, without_blocks
from rufous.compression.carry_over import carry_over
from rufous.compression.footprint import Footprint, Scales, total_of
from rufous.core.console import logger

_log = logger(__name__)
_SLACK = 0.01  # of a time limit: how much more the next attempt saves at least, as single times do not add up
_UNITS = {"MB": 1e6, "GB": 1e9, "MIB": 2.0**20, "GIB": 2.0**30}
_FORMS = "write '-45%' (parameters), '1.6GB' (bytes of the stored weights, at most) or '2x' (times as fast)"
Measure: TypeAlias = Literal["parameters", "size_bytes", "latency_s"]
WORDS: dict[Measure, str] = {
    "parameters": "parameters",
    "size_bytes": "bytes",
    "latency_s": "seconds of a pass",
}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """An upper limit of one cost of a network."""

    text: str
    """As it was written."""
    measure: Measure
    """The field of ``Footprint`` that is limited."""
    share: float | None = None
    """Limit as a share of the unpruned network's cost."""
    limit: float | None = None
    """Limit by itself, in bytes."""

    def most(self, before: Footprint) -> float:
        """The highest cost that the pruned network may have."""
        if self.limit is not None:
            return self.limit
        cost = getattr(before, self.measure)
        assert self.share is not None
        assert cost is not None
        return self.share * cost


def parse_budget(text: str) -> Budget:
    """A budget from ``-45%`` (parameters), ``1.6GB`` (bytes) or ``2x`` (latency); spaces do not matter.

    Raises:
        ValueError: The text is none of these, or asks for nothing or for everything.
    """
    match = re.fullmatch(r"(-?)(\d+(?:\.\d*)?|\.\d+)(%|[MG]i?B|x)", re.sub(r"\s", "", text), re.IGNORECASE)
    if match is None:
        raise ValueError(f"budget {text!r} is not understood: {_FORMS}")
    minus, number, unit = match[1], float(match[2]), match[3].upper()
    if unit == "%" and minus and 0 < number < 100:
        return Budget(text=text, measure="parameters", share=1.0 - number / 100.0)
    if unit == "X" and not minus and number > 1:
        return Budget(text=text, measure="latency_s", share=1.0 / number)
    if unit in _UNITS and not minus and number > 0:
        return Budget(text=text, measure="size_bytes", limit=number * _UNITS[unit])
    raise ValueError(f"budget {text!r} asks for nothing that pruning can give: {_FORMS}")


def check_reachable(budget: Budget, before: Footprint, savings: Mapping[str, float]) -> None:
    """Refuse a budget that asks for nothing, or for more than all blocks together give.

    Args:
        budget: What the network may cost.
        before: What it costs.
        savings: What each block that can go saves of the cost that the budget limits.

    Raises:
        ValueError: Names what the network costs, and the least that stays.
    """
    cost = getattr(before, budget.measure)
    least = cost - total_of(savings, savings)
    if budget.most(before) >= cost:
        word = WORDS[budget.measure]
        raise ValueError(f"budget {budget.text!r} is met already: the network has {_amount(cost)} {word}")
    if least > budget.most(before):
        raise _unreachable(budget, before, least)


def meet_budget(
    network: nn.Module,
    budget: Budget,
    before: Footprint,
    savings: Mapping[str, float],
    change: Callable[[frozenset[str]], float],
    *,
    scales: Scales,
) -> tuple[nn.Module, Footprint, Footprint]:
    """The student whose own cost is within the budget, for as little change as the choice of blocks finds.

    Args:
        network: The teacher; the student shares its tensors.
        budget: Reachable as far as ``check_reachable`` can tell.
        before: Cost of the teacher.
        savings: What each block saves of what the budget limits.
        change: What it costs to be without several blocks; see ``choose_blocks``.
        scales: Weigh teacher and student.

    Returns:
        The student, the teacher's cost and the student's, weighed in turn.

    Raises:
        ValueError: Single times do not add up, and no student that was timed is fast enough.
    """
    cost, most = getattr(before, budget.measure), total_of(savings, savings)
    needed, least = cost - budget.most(before), cost
    while True:
        chosen = choose_blocks(change, savings, min(needed, most))
        student = carry_over(network, without_blocks(network.config, chosen))
        weighed, after = scales.weigh(network, student)
        left = getattr(after, budget.measure) / getattr(weighed, budget.measure)
        limit = budget.most(weighed) / getattr(weighed, budget.measure)
        if left <= limit * (1 + 1e-9):
            return student, weighed, after
        _log.info("%.1f %% are left, budget %r is %.1f %%", 100 * left, budget.text, 100 * limit)
        least = min(least, left * cost)
        if needed >= most:
            raise _unreachable(budget, before, least)
        needed += max(left - limit, _SLACK) * cost


def choose_blocks(
    change: Callable[[frozenset[str]], float], savings: Mapping[str, float], needed: float
) -> frozenset[str]:
    """Blocks that together save at least ``needed``: one after another, the cheapest for its saving first.

    A block takes the place of its own parts. What turns out needless is taken back, most important first.

    Args:
        change: What it costs to be without several blocks. Measured anew, removals may interact; a sum of
            what each costs alone is known at once, and roughly right.
        savings: What each block saves, in the unit of ``needed``.
        needed: Above 0, and at most what all blocks save together.
    """
    chosen, cost = frozenset[str](), 0.0
    while (saved := total_of(savings, chosen)) < needed:
        found: dict[frozenset[str], tuple[float, float]] = {}
        for name in savings:
            more = outermost(chosen | {name})
            gain = min(total_of(savings, more), needed) - saved
            if name in more and gain > 0:
                price = change(more)
                found[more] = ((price - cost) / gain, price)
        chosen = min(found, key=lambda more: found[more])
        cost = found[chosen][1]
    for name in sorted(chosen, key=lambda each: (-change(frozenset({each})), each)):
        if total_of(savings, chosen - {name}) >= needed:
            chosen -= {name}
    return chosen


def _unreachable(budget: Budget, before: Footprint, least: float) -> ValueError:
    cost, word = getattr(before, budget.measure), WORDS[budget.measure]
    return ValueError(
        f"budget {budget.text!r} cannot be reached: it leaves {_amount(budget.most(before))} of "
        f"{_amount(cost)} {word}, and pruning goes no lower than {_amount(least)} ({least / cost - 1:.1%}); "
        "use a smaller budget"
    )


def _amount(value: float | int) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
