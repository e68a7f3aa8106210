"""A large network to a smaller one of its kind: choose blocks for a goal, carry the weights over, report."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from rufous.compression.blocks import (
    Granularity,
    block_names,
    canonical,
    is_part,
    named_blocks,
    preset_config,
    without_blocks,
)
from rufous.compression.budget import check_reachable, meet_budget, parse_budget
from rufous.compression.calls import ClipSize, NetworkCall
from rufous.compression.carry_over import carry_over, plan_carry_over
from rufous.compression.footprint import Scales, block_parameters
from rufous.compression.report import BlockFigures, PruningReport
from rufous.compression.sensitivity import (
    block_influences,
    output_change,
    output_changes,
    outputs_of,
    relative_change,
)
from rufous.core.config import to_json_dict
from rufous.core.console import logger

_log = logger(__name__)
Importance: TypeAlias = Literal["output", "influence", "none"]
Data: TypeAlias = Callable[[], Sequence[NetworkCall]]
"""Gives the calls on which importance is measured, when it is called."""


@dataclass(frozen=True, kw_only=True)
class PruneConfig:
    """What to prune to, which is exactly one of the first four, and how blocks are measured and chosen."""

    budget: str | None = None
    """``-45%`` (parameters), ``1.6GB`` (bytes of the stored weights) or ``2x`` (times as fast)."""
    preset: str | None = None
    """A published pruned variant, for example ``hummingbird-0.7b``."""
    remove: tuple[str, ...] = ()
    """Blocks by name."""
    student: Any = None
    """The student's config."""
    blocks: Granularity = "parts"
    """What a budget may take: whole stages alone, or their parts too."""
    importance: Importance | None = None
    """What a budget goes by, and whether blocks are measured at all. None: ``output`` for a budget, else
    ``none``, which needs no data."""
    remeasure: bool = False
    """Give up one block after another, and measure those that are left anew each time."""
    num_latency_calls: int = 5
    """Calls that a latency is the median of; 0 leaves time unmeasured."""

    def __post_init__(self) -> None:
        goals = [bool(self.budget), bool(self.preset), bool(self.remove), self.student is not None]
        if sum(goals) != 1:
            raise ValueError(
                f"{sum(goals)} goals were given: name one of budget ('-45%'), preset ('hummingbird-0.7b'), "
                "blocks to remove, or a student's config"
            )
        budget = parse_budget(self.budget) if self.budget else None
        if budget and self.importance == "none":
            raise ValueError("a budget is met by importance: use importance='output' or 'influence'")
        if self.remeasure and (budget is None or self.importance == "influence"):
            raise ValueError("remeasure needs a budget and importance='output'")
        needs_time = budget is not None and budget.measure == "latency_s"
        if self.num_latency_calls < int(needs_time):
            raise ValueError(f"num_latency_calls={self.num_latency_calls}: use 1 or more, or 0 without times")

    @property
    def measures_importance(self) -> bool:
        """Whether calls of the network are needed."""
        return (self.importance or ("output" if self.budget else "none")) != "none"

    @property
    def goal(self) -> str:
        """What was asked for, in a few words."""
        if self.remove:
            return f"all but {', '.join(self.remove)}"
        return self.budget or self.preset or "a given config"


def prune(
    network: nn.Module,
    config: PruneConfig,
    *,
    size: ClipSize,
    data: Data | None = None,
    stored_dtype: torch.dtype | None = None,
) -> tuple[nn.Module, PruningReport]:
    """The student with the teacher's weights, untrained, and what was done.

    Args:
        network: The teacher, in eval mode, where it is to be measured; its config names its blocks.
        config: What to prune to.
        size: Of the clip whose pass is counted and timed.
        data: Called once what can be refused without it has been, and only if importance is measured.
        stored_dtype: Of the weights that count against a budget of bytes; None: the network's.

    Returns:
        The student, which shares its tensors with ``network``, and the report.

    Raises:
        ValueError: An unknown preset or block, a preset or config that removes nothing, a budget that is met
            already or that no choice of blocks can reach, or importance without ``data``.
        ConfigError: A student's config that the teacher's weights do not fit.
        FloatingPointError: An output of the network, or a block's, is not finite.
    """
    teacher, parameter = network.config, next(network.parameters())
    scales = Scales(
        size=size,
        stored_dtype=stored_dtype or parameter.dtype,
        example=named_blocks(teacher).example(teacher, size).to(parameter.device),
        num_latency_calls=config.num_latency_calls,
    )
    # 1. what can be refused without running the network
    if config.measures_importance and data is None:
        raise ValueError("importance is measured on calls of the network: pass data, or use a preset")
    names = block_names(teacher, config.blocks)
    parameters = block_parameters(teacher, names)
    budget = parse_budget(config.budget) if config.budget else None
    wanted = None if budget else _named_student(teacher, config)
    unpruned, is_timed = scales.count(teacher), budget is not None and budget.measure == "latency_s"
    unit = scales.stored_dtype.itemsize if budget and budget.measure == "size_bytes" else 1
    savings: Mapping[str, float] = {name: float(unit * count) for name, count in parameters.items()}
    if budget and not is_timed:
        check_reachable(budget, unpruned, savings)
    # 2. time and importance of the teacher's blocks
    latencies = scales.time_blocks(network, names)
    if budget and is_timed:
        unpruned, savings = scales.weigh(network)[0], latencies
        check_reachable(budget, unpruned, savings)
    measured = _measure(network, names, config, data)
    # 3. the student
    if budget:
        change = _change_of(network, measured, remeasure=config.remeasure)
        student, before, after = meet_budget(network, budget, unpruned, savings, change, scales=scales)
    else:
        student = carry_over(network, wanted)
        before, after = scales.weigh(network, student)
    # 4. the report
    plan, calls, together = plan_carry_over(teacher, student.config), measured.calls, None
    if calls:
        together = relative_change(outputs_of(student, calls), outputs_of(network, calls))
    dtype = str(parameter.dtype).removeprefix("torch.")
    report = PruningReport(
        goal=config.goal,
        removed=plan.removed,
        before=before,
        after=after,
        size=size,
        timed_on=f"{parameter.device} in {dtype}" if config.num_latency_calls else None,
        num_calls=len(calls),
        output_change=together,
        blocks=tuple(
            BlockFigures(
                name=name,
                parameters=parameters[name],
                latency_s=latencies.get(name),
                output_change=measured.changes.get(name),
                influence=measured.influences.get(name),
                is_removed=any(name == whole or is_part(name, whole) for whole in plan.removed),
            )
            for name in names
        ),
        num_tensors=len(plan.tensors),
        dropped_tensors=plan.dropped,
        student_config=to_json_dict(student.config),
    )
    return student, report


def _named_student(teacher: Any, config: PruneConfig) -> Any:
    """The student's config, if it needs no search.

    Raises:
        ValueError: It is unknown, does not fit, or removes nothing.
    """
    if config.remove:
        return without_blocks(teacher, config.remove)
    student = preset_config(teacher, config.preset) if config.preset else canonical(config.student)
    if not plan_carry_over(teacher, student).dropped:
        raise ValueError(f"pruning to {config.goal} removes nothing: the network has no more than that")
    return student


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """Importance of every block that can go; empty where it was not measured."""

    calls: Sequence[NetworkCall] = ()
    changes: Mapping[str, float] = field(default_factory=dict)
    """Output change of each block."""
    influences: Mapping[str, float] = field(default_factory=dict)


def _measure(network: nn.Module, names: Sequence[str], config: PruneConfig, data: Data | None) -> _Measured:
    if data is None or not config.measures_importance:
        return _Measured()
    calls = data()
    changes = {} if config.importance == "influence" else output_changes(network, names, calls)
    return _Measured(calls=calls, changes=changes, influences=block_influences(network, names, calls))


def _change_of(
    network: nn.Module, measured: _Measured, *, remeasure: bool
) -> Callable[[frozenset[str]], float]:
    """What it costs to be without several blocks: the sum of single ones, or measured, nothing twice."""
    alone = {name: max(value, 0.0) for name, value in (measured.changes or measured.influences).items()}
    if not remeasure:
        return lambda names: math.fsum(alone[name] for name in names)
    reference = outputs_of(network, measured.calls)
    known = {frozenset({name}): value for name, value in alone.items()}

    def change(names: frozenset[str]) -> float:
        if names not in known:
            known[names] = output_change(network, names, measured.calls, reference)
            _log.info("without %s: output change %.4f", ", ".join(sorted(names)), known[names])
        return known[names]

    return change
