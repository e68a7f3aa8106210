"""Roads of several stages: each has a folder, resumes by itself and is passed by once it is done; rows of
figures come last. A folder that was made with other settings is refused before anything in it is touched.

Processes that torchrun started go the road together.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import is_release, load_component
from rufous.core.config import differences, flattened, to_json_dict
from rufous.core.console import logger
from rufous.core.errors import ConfigError
from rufous.core.files import write_text
from rufous.evaluation.bootstrap import mean_interval
from rufous.pipelines.loading import component_names
from rufous.recipes.processes import Processes
from rufous.recipes.recipe import made_of
from rufous.recipes.world_truth import WorldTruthConfig
from rufous.recipes.world_truth import run as judge
from rufous.training.loop import MAY_CHANGE
from rufous.training.parallel import barrier

_log = logger(__name__)


@dataclass(frozen=True)
class Stage:
    """One stage: what its run is made of, and the run, which every process calls."""

    name: str
    config: Any
    run: Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One row of the table: a release, and how it is sampled."""

    name: str
    release: Path
    num_inference_steps: int
    num_frames: int
    against: str | None = None
    """Row that its truth is compared with, prompt by prompt."""
    num_prompts: int | None = None
    """As many as the other rows when None."""


class Road:
    """Folders of one run; owns nothing but the marks of stages that are done."""

    def __init__(self, root: Path, processes: Processes) -> None:
        self.root, self.processes = root, processes

    def release(self, stage: str) -> Path:
        """Where a stage's release is."""
        return self.root / stage / "release"

    def go(self, stages: Sequence[Stage]) -> None:
        """Carry out what is left, in order.

        Raises:
            ConfigError: Stages were made with other settings; nothing is overwritten.
        """
        self._check(stages)
        for stage in stages:
            is_done = self.is_done(stage)
            barrier()  # none may mark it begun or done while another still looks
            if not is_done:
                _log.info("stage %s", stage.name)
                if self.processes.is_first:
                    write_text(self._begun(stage), json.dumps(self._settings(stage), indent=1))
                stage.run()
                if self.processes.is_first:
                    self.mark_done(stage)
            barrier()

    def is_done(self, stage: Stage) -> bool:
        """Whether the stage ended with these settings and inputs, and its release is still what it wrote."""
        mark, release = self.root / stage.name / "done.json", self.release(stage.name)
        if not (mark.is_file() and is_release(release)):
            return False
        return not differences(json.loads(mark.read_text()), self._mark(stage))

    def mark_done(self, stage: Stage) -> None:
        """Remember the release that the stage wrote, and of what."""
        write_text(self.root / stage.name / "done.json", json.dumps(self._mark(stage), indent=1))

    def write_table(self, rows: Sequence[Row], *, num_prompts: int, features: str) -> Path:
        """Judge every row, write ``table.md`` and ``table.json`` to the root, and give the first.

        Args:
            rows: In their order.
            num_prompts: Of rows that say no other number; half of them held out.
            features: Release with the ``video_text`` model of the Frechet distance.
        """
        judged = [(row, self._judged(row, row.num_prompts or num_prompts, features)) for row in rows]
        table = markdown_table(judged)
        if self.processes.is_first:
            found = [{"row": row.name, **figures} for row, figures in judged]
            write_text(self.root / "table.json", json.dumps(found, indent=1))
            write_text(self.root / "table.md", table)
            _log.info("what each step costs:\n%s", table)
        barrier()
        return self.root / "table.md"

    def _check(self, stages: Sequence[Stage]) -> None:
        """Refuse changes to stages that have begun; the last training may take more or fewer steps."""
        begun = [stage for stage in stages if self._begun(stage).is_file()]
        trainings = [stage for stage in begun if _made_of(stage).keys() - made_of(stage.config).keys()]
        problems: list[str] = []
        for stage in begun:
            settings = self._settings(stage)
            steps = settings.keys() - made_of(stage.config).keys() if stage in trainings[-1:] else ()
            changes = differences(json.loads(self._begun(stage).read_text()), settings, may_change=steps)
            problems += [f"{stage.name}: {change}" for change in changes]
        if problems:
            raise ConfigError(
                f"{self.root} was made with other settings: {'; '.join(problems)}. "
                "Use the old values, or a new run_dir"
            )

    def _begun(self, stage: Stage) -> Path:
        """Where the settings stand with which a stage began."""
        return self.root / stage.name / "begun.json"

    def _settings(self, stage: Stage) -> dict[str, Any]:
        """What a stage is made of; releases of this road, which may not be there yet, by their place."""
        made = _made_of(stage)
        for name, value in flattened(to_json_dict(stage.config)).items():
            if name in made and isinstance(value, str) and Path(value).is_relative_to(self.root):
                made[name] = Path(value).relative_to(self.root).as_posix()
        return made

    def _mark(self, stage: Stage) -> dict[str, Any]:
        return {"manifest_id": Manifest.load(self.release(stage.name)).id, "made_of": _made_of(stage)}

    def _judged(self, row: Row, num_prompts: int, features: str) -> dict[str, Any]:
        """Truth, motion and time of one row; judged once for each release and settings."""
        folder = self.root / "truth" / row.name.replace(" ", "_").replace(",", "")
        settings = WorldTruthConfig(
            model=str(row.release),
            num_prompts=num_prompts,
            num_inference_steps=row.num_inference_steps,
            num_frames=row.num_frames,
            features=features,
        )
        path, mark, judged = folder / "truth.json", folder / "made_of.json", made_of(settings)
        is_judged = _is_complete(path) and mark.is_file() and json.loads(mark.read_text()) == judged
        barrier()
        if not is_judged:
            judge(settings, folder, self.processes.device)
            if self.processes.is_first:
                write_text(mark, json.dumps(judged))
            barrier()
        found = json.loads(path.read_text())
        network = load_component(row.release, component_names(row.release)["unet"])
        parameters = sum(parameter.numel() for parameter in network.parameters())
        return {**{name: found[name] for name in found if name != "config"}, "parameters": parameters}


def _is_complete(truth: Path) -> bool:
    """Whether a file of figures has those of each prompt, which earlier versions left out."""
    return truth.is_file() and "right_by_clip" in json.loads(truth.read_text())


def _made_of(stage: Stage) -> dict[str, Any]:
    """With the number of steps, which a resumed run may change and a stage that is done may not."""
    return made_of(stage.config, leave_out=MAY_CHANGE - {"num_steps"})


def markdown_table(rows: Sequence[tuple[Row, dict[str, Any]]]) -> str:
    """The table for a reader; shares as fractions, seconds of one clip (none where processes shared them).

    A difference is paired: of both rows' clips of each prompt, with a 95 % interval over the prompts.
    """
    by_name = {row.name: found for row, found in rows}
    lines = [
        "| | parameters | steps | frames | all right, seen | held out | difference | motion | Frechet "
        "| denoising |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row, found in rows:
        seen, held_out = found["seen"], found["held_out"]
        motion = (seen["motion_magnitude"] + held_out["motion_magnitude"]) / 2
        seconds = found.get("seconds_per_clip", {}).get("denoise")
        lines.append(
            f"| {row.name} | {found['parameters'] / 1e6:.2f} M | {row.num_inference_steps} | "
            f"{row.num_frames} | {_share(seen)} | {_share(held_out)} | {_difference(row, by_name)} | "
            f"{motion:.3f} | {found['frechet']:.4f} | {'-' if seconds is None else f'{seconds:.2f} s'} |"
        )
    return "\n".join(lines) + "\n"


def _share(found: dict[str, Any]) -> str:
    low, high = found["all_right_95"]
    return f"{found['all_right']:.3f} ({low:.3f} to {high:.3f})"


def _difference(row: Row, by_name: Mapping[str, dict[str, Any]]) -> str:
    """How much more of a row's clips is right than of those that it is compared with."""
    if row.against is None:
        return "-"
    own, other = (_right(by_name[name]) for name in (row.name, row.against))
    low, high = mean_interval(own - other) or (float("nan"), float("nan"))
    return f"{(own - other).mean():+.3f} ({low:+.3f} to {high:+.3f}) to {row.against}"


def _right(found: Mapping[str, Any]) -> np.ndarray:
    """1 for each prompt whose clip shows all of it, 0 for each other."""
    return np.array([value for values in found["right_by_clip"].values() for value in values], np.float64)
