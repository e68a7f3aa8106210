"""Weights of a large network in a smaller one: which tensor of the teacher fills which of the student.

The map is found in the data, the names and shapes that the two configs give. A network with blocks removed
keeps the published names. A shallower one numbers its stages anew: then each of its stages takes the weights
of a stage of the same shape, in order, from the entrance on the way down and from the exit on the way up. For
VideoCrafter2 and Hummingbird's depth that is the published map (arXiv:2503.18559).
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from torch import nn

from rufous.checkpoints.kinds import empty_network
from rufous.checkpoints.matching import load_strictly
from rufous.compression.blocks import (
    Row,
    Shapes,
    modules_of,
    named_blocks,
    outermost,
    shapes_left,
    whole_shapes,
)
from rufous.core.errors import ConfigError

_LISTED = 6  # tensors named in an error


@dataclass(frozen=True, kw_only=True)
class CarryOver:
    """Where each tensor of a student comes from."""

    tensors: dict[str, str]
    """Student's name to teacher's name, for every tensor of the student."""
    stages: dict[str, str]
    """Student's stage to teacher's stage, for every stage that both run."""
    removed: tuple[str, ...]
    """The teacher's blocks that the student lacks, in the teacher's names."""
    dropped: tuple[str, ...]
    """Names of the teacher's tensors that the student has no place for."""


def plan_carry_over(teacher: Any, student: Any) -> CarryOver:
    """The map between two networks, from their configs alone.

    Args:
        teacher: Config of a network that names its blocks.
        student: Config of the same class: fewer stages, more removed blocks.

    Raises:
        ConfigError: The student differs in more than what it leaves out, or has a tensor that no tensor of
            the teacher fits.
    """
    _check_fields(teacher, student)
    network, ours, theirs = named_blocks(teacher), whole_shapes(student), whole_shapes(teacher)
    stages = {name: name for name in network.stages(student)}
    for row in network.rows:
        stages |= _align(row, ours, theirs)
    wanted, given = shapes_left(student), shapes_left(teacher)
    tensors = {name: _renamed(name, stages) for name in wanted}
    unfit = [name for name, source in tensors.items() if given.get(source) != wanted[name]]
    if unfit:
        named = ", ".join(unfit[:_LISTED]) + (f" and {len(unfit) - _LISTED} more" * (len(unfit) > _LISTED))
        raise ConfigError(
            f"the student has {len(unfit)} tensors that no tensor of the teacher fits ({named}): leave out "
            "blocks of the teacher, and add none"
        )
    used = set(tensors.values())
    dropped = tuple(name for name in given if name not in used)
    return CarryOver(
        tensors=tensors,
        stages={name: source for name, source in stages.items() if _has(name, wanted)},
        removed=_blocks_of(dropped, given),
        dropped=dropped,
    )


def carry_over(teacher: nn.Module, student: Any) -> nn.Module:
    """A network of the config ``student`` whose weights are the teacher's very tensors, uncopied.

    Without training it computes what the teacher would if the blocks were skipped.

    Args:
        teacher: With a ``config``; its weights are shared.
        student: Config.

    Raises:
        ConfigError: As ``plan_carry_over``.
    """
    plan, given = plan_carry_over(teacher.config, student), teacher.state_dict()
    tensors = {name: given[source] for name, source in plan.tensors.items()}
    network = empty_network(student)
    load_strictly(network, tensors, where="the student")
    return network.train(teacher.training)


def paired_stages(
    student: nn.Module, teacher: nn.Module, pruned: Any = None
) -> list[tuple[nn.Module, nn.Module]]:
    """Stages of two networks whose features can be compared: each of the student's with the one it came from.

    Args:
        student: Pruned, or shallower with its stages numbered anew.
        teacher: What it was pruned from.
        pruned: The student's config when it was pruned, if it has got other inputs since.

    Returns:
        A pair for every stage that both run.

    Raises:
        ConfigError: As ``plan_carry_over``.
    """
    pairs = plan_carry_over(teacher.config, pruned or student.config).stages.items()
    return [(student.get_submodule(mine), teacher.get_submodule(its)) for mine, its in pairs]


def _check_fields(teacher: Any, student: Any) -> None:
    """Refuse students whose tensors may fit but mean something else."""
    if type(teacher) is not type(student):
        raise ConfigError(
            f"the student is a {type(student).__name__}, the teacher a {type(teacher).__name__}: "
            "use one class"
        )
    free = named_blocks(teacher).may_differ
    for name in (field.name for field in fields(teacher) if field.name not in free):
        wanted, given = getattr(student, name), getattr(teacher, name)
        if wanted != given:
            raise ConfigError(
                f"the student has {name}={wanted!r}, the teacher {given!r}: pruning changes nothing but "
                f"{', '.join(sorted(free))}"
            )


def _align(row: Row, student: Shapes, teacher: Shapes) -> dict[str, str]:
    """Student's stage to teacher's stage within one row: the same shapes, in the same order."""
    theirs, ours = _stages(row.name, teacher), _stages(row.name, student)
    step = 1 if row.kept == "first" else -1
    left = list(theirs.items())[::step]
    pairs: dict[str, str] = {}
    for name, shapes in list(ours.items())[::step]:
        while left and left[0][1] != shapes:
            left.pop(0)
        if not left:
            raise ConfigError(
                f"the student's stage {name} has no counterpart in the teacher: {row.name} has {len(ours)} "
                f"stages there and {len(theirs)} in the teacher, and a student adds none"
            )
        pairs[name] = left.pop(0)[0]
    return pairs


def _stages(row: str, shapes: Shapes) -> dict[str, Shapes]:
    """The stages of a row in order, each with its tensors' names inside of it, and their shapes."""
    stages: defaultdict[str, dict[str, tuple[int, ...]]] = defaultdict(dict)
    for name, shape in shapes.items():
        if match := re.match(rf"({re.escape(row)}\.\d+)\.(.*)", name):
            stages[match[1]][match[2]] = shape
    return dict(sorted(stages.items(), key=lambda item: int(item[0].rpartition(".")[2])))


def _has(stage: str, tensors: Iterable[str]) -> bool:
    return any(name.startswith(f"{stage}.") for name in tensors)


def _blocks_of(dropped: Sequence[str], given: Iterable[str]) -> tuple[str, ...]:
    """The modules, as large as possible, that the dropped tensors make up."""
    kept = {module for name in set(given).difference(dropped) for module in modules_of(name)}
    whole = dict.fromkeys(module for name in dropped for module in modules_of(name) if module not in kept)
    found = outermost(whole)
    return tuple(name for name in whole if name in found)


def _renamed(name: str, stages: Mapping[str, str]) -> str:
    stage = next((module for module in modules_of(name) if module in stages), None)
    return name if stage is None else stages[stage] + name.removeprefix(stage)
