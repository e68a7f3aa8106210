"""A large network to a smaller one of its kind: choose blocks for a goal, carry the weights over, report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from rufous.compression.blocks import (
    Granularity,
    block_names,
    is_part,
    named_blocks,
    preset_config,
    without_blocks,
)
from rufous.compression.budget import Measure, check_reachable, parse_budget
from rufous.compression.calls import ClipSize, NetworkCall
from rufous.compression.carry_over import carry_over, plan_carry_over
from rufous.compression.footprint import Footprint, Scales, block_parameters
from rufous.compression.report import BlockFigures, PruningReport
from rufous.compression.search import Measured, meet_budget
from rufous.compression.sensitivity import block_influences, output_changes, outputs_of, relative_change
from rufous.core.config import to_json_dict

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
        ValueError: An unknown preset or block, a budget that is met already or that no choice of blocks can
            reach, or importance without ``data``.
        ConfigError: A student's config that the teacher's weights do not fit.
    """
    teacher, parameter = network.config, next(network.parameters())
    scales = Scales(
        size=size,
        stored_dtype=stored_dtype or parameter.dtype,
        example=named_blocks(teacher).example(teacher, size).to(parameter.device),
        num_latency_calls=config.num_latency_calls,
    )
    # 1. what can be refused without running the network
    names = block_names(teacher, config.blocks)
    parameters = block_parameters(teacher, names)
    budget = parse_budget(config.budget) if config.budget else None
    is_timed = budget is not None and budget.measure == "latency_s"
    wanted = _named_student(teacher, config)
    if wanted is not None:
        plan_carry_over(teacher, wanted)
    unpruned = scales.count(teacher)
    if budget is not None and not is_timed:
        check_reachable(budget, unpruned, _savings(budget.measure, parameters, {}, scales))
    # 2. time and importance of the teacher's blocks
    latencies = scales.time_blocks(network, names)
    if budget is not None and is_timed:
        unpruned = scales.weigh(network)[0]
        check_reachable(budget, unpruned, latencies)
    measured = _measure(network, names, config, data)
    # 3. the student
    if budget is not None:
        savings = _savings(budget.measure, parameters, latencies, scales)
        student, before, after = meet_budget(
            network, budget, unpruned, savings, measured, scales=scales, remeasure=config.remeasure
        )
    else:
        student = carry_over(network, wanted)
        before, after = scales.weigh(network, student)
    figures = tuple(
        BlockFigures(
            name=name,
            parameters=parameters[name],
            latency_s=latencies.get(name),
            output_change=measured.changes.get(name),
            influence=measured.influences.get(name),
        )
        for name in names
    )
    report = _report(
        network, student, figures, config=config, before=before, after=after, measured=measured, scales=scales
    )
    return student, report


def _named_student(teacher: Any, config: PruneConfig) -> Any:
    """The student's config, if it needs no search."""
    if config.preset:
        return preset_config(teacher, config.preset)
    if config.remove:
        return without_blocks(teacher, config.remove)
    return config.student


def _savings(
    measure: Measure, parameters: Mapping[str, int], latencies: Mapping[str, float], scales: Scales
) -> dict[str, float]:
    """What each block saves of one cost."""
    if measure == "latency_s":
        return dict(latencies)
    unit = scales.stored_dtype.itemsize if measure == "size_bytes" else 1
    return {name: float(unit * count) for name, count in parameters.items()}


def _measure(network: nn.Module, names: Sequence[str], config: PruneConfig, data: Data | None) -> Measured:
    if not config.measures_importance:
        return Measured()
    if data is None:
        raise ValueError("importance is measured on calls of the network: pass data, or use a preset")
    calls = data()
    changes = {} if config.importance == "influence" else output_changes(network, names, calls)
    return Measured(calls=calls, changes=changes, influences=block_influences(network, names, calls))


def _report(
    network: nn.Module,
    student: nn.Module,
    blocks: tuple[BlockFigures, ...],
    *,
    config: PruneConfig,
    before: Footprint,
    after: Footprint,
    measured: Measured,
    scales: Scales,
) -> PruningReport:
    plan, parameter = plan_carry_over(network.config, student.config), next(network.parameters())
    timed_on = f"{parameter.device} in {str(parameter.dtype).removeprefix('torch.')}"
    together = None
    if measured.calls:
        together = relative_change(*(outputs_of(each, measured.calls) for each in (student, network)))
    return PruningReport(
        goal=config.goal,
        removed=plan.removed,
        before=before,
        after=after,
        size=scales.size,
        timed_on=timed_on if scales.num_latency_calls else None,
        num_calls=len(measured.calls),
        output_change=together,
        blocks=tuple(replace(block, is_removed=_is_gone(block.name, plan.removed)) for block in blocks),
        num_tensors=len(plan.tensors),
        dropped_tensors=plan.dropped,
        student_config=to_json_dict(student.config),
    )


def _is_gone(name: str, removed: Sequence[str]) -> bool:
    return any(name == whole or is_part(name, whole) for whole in removed)
