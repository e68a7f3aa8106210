"""Students at toy size on several processes, every network sharded, as large ones are.

torchrun -m tests.recipes.students_run ROAD OUT
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from rufous.distillation.adversarial import AdversarialConfig
from rufous.distillation.teaching import GuidanceRange
from rufous.recipes import RECIPES, processes
from rufous.training.parallel import process_group
from tests.recipes.conftest import CPU, brief, toy_road, toy_student_road


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
        for each in (consistency, longer, replace(few_steps, adversarial=real)):
            RECIPES["world_few_steps"].run(each, out / each.method, CPU)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
