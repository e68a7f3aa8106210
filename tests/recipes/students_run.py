"""Students at toy size on several processes: every network sharded, as large ones are, then replicated.

torchrun -m tests.recipes.students_run ROAD OUT
"""

import contextlib
import sys
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh

from rufous.distillation.adversarial import AdversarialConfig
from rufous.distillation.teaching import GuidanceRange
from rufous.recipes import RECIPES, processes
from rufous.training.parallel import process_group, replicate, world_size
from tests.recipes.conftest import CPU, brief, toy_road, toy_student_road

SHARDED_FROM = processes.SHARDED_FROM


def main(root: Path, out: Path) -> None:
    """Recovery, then few steps by both methods, with feedback; the processes are joined once."""
    torch.set_num_threads(1)
    processes.SHARDED_FROM = 0
    students = toy_student_road(toy_road(root))
    few_steps = replace(
        students.few_steps,
        feedback=replace(students.few_steps.feedback, video_text=1.0),
        guidance=GuidanceRange(2.0, 4.0, 16),
        sets=students.few_steps.sets[:1],
        train=brief(2),
    )
    with process_group("cpu"):
        RECIPES["world_recovery"].run(students.recovery, out / "recovery", CPU)
        real = AdversarialConfig(weight=0.1, stages=("middle_block", "output_blocks.1"), width=4)
        consistency = replace(few_steps, method="consistency")
        longer = replace(consistency, train=brief(3))  # goes on from the first run
        matching = replace(few_steps, adversarial=real)
        for each in (consistency, longer, matching):
            RECIPES["world_few_steps"].run(each, out / each.method, CPU)
        with replicated() as networks:
            RECIPES["world_few_steps"].run(matching, out / "replicated", CPU)
        assert len(networks) == 3  # student, critic and heads
        assert all(is_equal_everywhere(network) for network in networks)


@contextlib.contextmanager
def replicated() -> Generator[list[nn.Module], None, None]:
    """Networks stay whole on every process, as small ones are; gives those that were spread in the block."""
    networks: list[nn.Module] = []

    def remember(network: nn.Module, mesh: DeviceMesh | None) -> None:
        networks.append(network)
        replicate(network, mesh)

    processes.SHARDED_FROM, processes.replicate = SHARDED_FROM, remember
    yield networks


def is_equal_everywhere(network: nn.Module) -> bool:
    """Whether all processes hold the same bits."""
    mine = torch.nn.utils.parameters_to_vector(network.parameters()).detach()
    copies = [torch.empty_like(mine) for _ in range(world_size())]
    dist.all_gather(copies, mine)
    return all(torch.equal(mine, copy) for copy in copies)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
