"""What a pruned network may cost, and which blocks to give up for it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from rufous.compression.blocks import is_part, outermost
from rufous.compression.footprint import Footprint, total_of

STEPS = 1000  # the search rounds what a choice saves down to this share of what is needed
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
        ValueError: Names what the network costs, and the most that can be saved.
    """
    cost, limit = getattr(before, budget.measure), budget.most(before)
    word, most = WORDS[budget.measure], total_of(savings, savings)
    if limit >= cost:
        raise ValueError(f"budget {budget.text!r} is met already: the network has {_amount(cost)} {word}")
    if most < cost - limit:
        least = f"{_amount(cost - most)} (-{most / cost:.1%})"
        raise ValueError(
            f"budget {budget.text!r} cannot be reached: it leaves {_amount(limit)} of {_amount(cost)} "
            f"{word}, and {least} stay when all blocks go that can; use a smaller budget"
        )


def _amount(value: float | int) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def choose_blocks(
    importance: Mapping[str, float], savings: Mapping[str, float], needed: float
) -> frozenset[str]:
    """The blocks of least total importance that together save at least ``needed``.

    Importances are taken to add up, which makes this a knapsack problem; a block and its own parts exclude
    each other. It is solved to a thousandth of ``needed``.

    Args:
        importance: Of every block that can go, by name; at least 0.
        savings: What each block saves, in the unit of ``needed``; a whole saves at least what its parts do.
        needed: Above 0.

    Raises:
        ValueError: All blocks together do not save as much.
    """
    _check_enough(savings, needed)
    front: _Front = {0: _Choice()}
    for name in sorted(outermost(importance)):
        front = _join(front, _options(name, importance, savings, needed), needed)
    # near the limit, rounding may leave no choice but to give up everything
    found = front[STEPS].names if STEPS in front else outermost(importance)
    return _without_needless(found, importance, savings, needed)


def choose_one_by_one(
    change: Callable[[frozenset[str]], float], savings: Mapping[str, float], needed: float
) -> frozenset[str]:
    """Give up one block after another, each time the one that costs least for what it saves.

    Every step measures all that are left on top of what is gone already, so that removals may interact.

    Args:
        change: Importance of several blocks at once, measured when it is called.
        savings: As in ``choose_blocks``.
        needed: Above 0.

    Raises:
        ValueError: All blocks together do not save as much.
    """
    _check_enough(savings, needed)
    chosen, importance = frozenset[str](), 0.0
    while (saved := total_of(savings, chosen)) < needed:
        scores: dict[str, tuple[float, float]] = {}
        for name in savings:
            more = outermost(chosen | {name})
            gain = min(total_of(savings, more), needed) - saved
            if name in more and gain > 0:
                found = change(more)
                scores[name] = ((found - importance) / gain, found)
        best = min(scores, key=lambda name: scores[name])
        chosen, importance = outermost(chosen | {best}), scores[best][1]
    alone = {name: change(frozenset({name})) for name in chosen}
    return _without_needless(chosen, alone, savings, needed)


def _check_enough(savings: Mapping[str, float], needed: float) -> None:
    if total_of(savings, savings) < needed:
        raise ValueError(
            f"needed={needed:g} is more than all {len(savings)} blocks save together, "
            f"{total_of(savings, savings):g}: use a smaller budget"
        )


class _Choice(NamedTuple):
    importance: float = 0.0
    saved: float = 0.0
    names: frozenset[str] = frozenset()


_Front: TypeAlias = dict[int, _Choice]
"""The best choice for each step of what is saved."""


def _options(
    name: str, importance: Mapping[str, float], savings: Mapping[str, float], needed: float
) -> _Front:
    """To keep a block, to remove it, or to remove some of its parts."""
    front: _Front = {0: _Choice()}
    for part in sorted(outermost(each for each in importance if is_part(each, name))):
        front = _join(front, _options(part, importance, savings, needed), needed)
    whole = _Choice(importance[name], savings[name], frozenset({name}))
    step = _step(whole.saved, needed)
    if step not in front or whole.importance < front[step].importance:
        front[step] = whole
    return front


def _join(first: _Front, second: _Front, needed: float) -> _Front:
    """Every choice of the one with every choice of the other."""
    joined: _Front = {}
    for one in first.values():
        for other in second.values():
            importance, saved = one.importance + other.importance, one.saved + other.saved
            step = _step(saved, needed)
            if step not in joined or importance < joined[step].importance:
                joined[step] = _Choice(importance, saved, one.names | other.names)
    return joined


def _step(saved: float, needed: float) -> int:
    return STEPS if saved >= needed else min(int(STEPS * saved / needed), STEPS - 1)


def _without_needless(
    names: frozenset[str], importance: Mapping[str, float], savings: Mapping[str, float], needed: float
) -> frozenset[str]:
    """Take back, most important first, what is not needed."""
    for name in sorted(names, key=lambda each: (-importance[each], each)):
        if total_of(savings, names - {name}) >= needed:
            names -= {name}
    return names
