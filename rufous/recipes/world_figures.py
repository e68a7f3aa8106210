"""A student's figures over its teacher's, with 95 % intervals: what the recipe costs and gains in all.

    rufous train world_figures

It reads what ``world_truth`` wrote with ``features``: of the student, of it in fewer steps and at its
longest clips, and of the teacher, all on the same prompts. Ratios of truth and of motion have intervals by a
bootstrap over the prompts. The Frechet distance is that of a set, and of a resampled one it is too large, so
its ratio has an interval by the jackknife: 20 times a twentieth of the prompts is left out.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from rufous.core.console import logger
from rufous.core.errors import ConfigError
from rufous.core.files import write_text
from rufous.evaluation.bootstrap import ratio_interval
from rufous.evaluation.frechet import frechet_distance
from rufous.recipes.recipe import Recipe
from rufous.recipes.world_truth import FEATURES_FILE

NUM_GROUPS = 20
STUDENT_T = 2.093
"""The 97.5 % point for 19 degrees of freedom."""
_log = logger(__name__)


@dataclass(frozen=True, kw_only=True)
class WorldFiguresConfig:
    """Run folders of ``world_truth``."""

    teacher: str = "runs/teacher_truth_50"
    student: str = "runs/student_truth_4"
    fewer_steps: str = "runs/student_truth_2"
    longer: str = "runs/student_truth_26"


@dataclass(frozen=True)
class Figure:
    """A ratio and its 95 % interval."""

    name: str
    value: float
    low: float
    high: float

    def line(self) -> str:
        """Its row of a table."""
        return f"| {self.name} | {self.value:.3f} | {self.low:.3f} to {self.high:.3f} |"


@dataclass(frozen=True)
class Truth:
    """What one run of ``world_truth`` found, clip by clip."""

    folder: Path

    @cached_property
    def _found(self) -> dict[str, Any]:
        path = self.folder / "truth.json"
        if not path.is_file():
            raise ConfigError(f"{path} is missing: run world_truth with --run-dir {self.folder}")
        found = json.loads(path.read_text(encoding="utf-8"))
        if "motion_by_clip" not in found:
            raise ConfigError(f"{path} tells nothing of single clips: run world_truth again")
        return found

    def _by_clip(self, name: str) -> np.ndarray:
        return np.array([value for values in self._found[name].values() for value in values], np.float64)

    @property
    def right(self) -> np.ndarray:
        """1 for each prompt whose clip shows all of it, 0 for each other."""
        return self._by_clip("right_by_clip")

    @property
    def motion(self) -> np.ndarray:
        """Motion magnitude of each clip."""
        return self._by_clip("motion_by_clip")

    @cached_property
    def features(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the clips that were made and of the real ones."""
        path = self.folder / FEATURES_FILE
        if not path.is_file():
            raise ConfigError(f"{path} is missing: run world_truth with features=world-video-text")
        found = load_file(path)
        return found["made"], found["real"]

    def frechet(self, kept: torch.Tensor | None = None) -> float:
        """Distance of the made clips to the real ones; of some of them by index."""
        made, real = self.features if kept is None else (each[kept] for each in self.features)
        return frechet_distance(made, real)


def figures_of(config: WorldFiguresConfig) -> list[Figure]:
    """Every ratio.

    Raises:
        ConfigError: A run is missing, is of an older form, or judged other prompts.
    """
    names = ("teacher", "student", "fewer_steps", "longer")
    teacher, student, fewer, longer = (Truth(Path(getattr(config, name))) for name in names)
    if len({len(each.right) for each in (teacher, student, fewer, longer)}) > 1:
        raise ConfigError("the runs judged different numbers of prompts: use the same num_prompts")
    return [
        _ratio("truth, student against teacher", student.right, teacher.right),
        _ratio("truth in fewer steps, student against teacher", fewer.right, teacher.right),
        _ratio("truth of longer clips against the student's usual ones", longer.right, student.right),
        _ratio("motion magnitude, student against teacher", student.motion, teacher.motion),
        _frechet_ratio("Frechet distance, student against teacher", student, teacher),
    ]


def _ratio(name: str, above: np.ndarray, below: np.ndarray) -> Figure:
    low, high = ratio_interval(above, below) or (float("nan"), float("nan"))
    return Figure(name, float(above.sum() / below.sum()), low, high)


def _frechet_ratio(name: str, student: Truth, teacher: Truth) -> Figure:
    """The ratio on all prompts; its interval on a log scale, as a ratio's should be."""
    indices = torch.arange(len(student.right))
    left_out = (indices[indices % NUM_GROUPS != group] for group in range(NUM_GROUPS))
    logs = np.log([student.frechet(kept) / teacher.frechet(kept) for kept in left_out])
    error = np.sqrt((NUM_GROUPS - 1) / NUM_GROUPS * np.square(logs - logs.mean()).sum())
    value = student.frechet() / teacher.frechet()
    low, high = value * np.exp([-STUDENT_T * error, STUDENT_T * error])
    return Figure(name, value, float(low), float(high))


def run(config: WorldFiguresConfig, run_dir: Path, device: torch.device) -> Path:
    """Write ``run_dir/figures.md``."""
    lines = ["| figure | ratio | 95 % interval |", "|---|---|---|"]
    table = "\n".join([*lines, *(figure.line() for figure in figures_of(config))]) + "\n"
    write_text(run_dir / "figures.md", table)
    _log.info("%s", table)
    return run_dir / "figures.md"


RECIPE = Recipe(
    name="world_figures",
    summary="A student's truth, motion and Frechet distance over its teacher's, with intervals.",
    config=WorldFiguresConfig(),
    run=run,
)
