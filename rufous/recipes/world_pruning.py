"""The world's teacher pruned to a budget, each block's importance measured on encoded clips.

    rufous train world_pruning

``rufous prune`` does the same to any release; it measures on the calls of its own sampling, and times too.
Here nothing is timed, so that the same settings give the same release.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.release import is_release
from rufous.compression.calls import noised_calls
from rufous.compression.prune import PruneConfig
from rufous.compression.release import prune_release
from rufous.core.config import differences
from rufous.core.errors import ConfigError
from rufous.core.files import write_text
from rufous.core.randomness import generator_from
from rufous.distillation.teaching import network_of
from rufous.recipes.processes import joined
from rufous.recipes.recipe import Recipe, made_of
from rufous.recipes.recovery import load_denoiser
from rufous.recipes.world_sets import SIXTEEN, WorldSet, open_sets
from rufous.training.parallel import barrier

NUM_CLIPS, NUM_TIMESTEPS = 4, 4


@dataclass(frozen=True, kw_only=True)
class WorldPruningConfig:
    """Settings of the run."""

    teacher: str = "world-teacher"
    budget: str = "-45%"
    sets: tuple[WorldSet, ...] = (SIXTEEN,)
    """The first one's clips are what importance is measured on."""
    seed: int = 0


def run(config: WorldPruningConfig, run_dir: Path, device: torch.device) -> Path:
    """Write ``run_dir/release``, if it is not there yet; of several processes the first one measures.

    Raises:
        ConfigError: It is there, made with other settings.
    """
    release, mark = run_dir / "release", run_dir / "made_of.json"
    if is_release(release):
        before = json.loads(mark.read_text()) if mark.is_file() else {}
        if changes := differences(before, made_of(config)):
            raise ConfigError(
                f"{release} was made with other settings: {'; '.join(changes)}. "
                "Use the old values, or a new run_dir"
            )
        return release
    teacher = find_release(config.teacher)
    with joined(device) as processes:
        data = open_sets(config.sets[:1], teacher, processes)[0]
        if processes.is_first:
            order = torch.randperm(data.num_examples, generator=generator_from(config.seed, "clips"))
            batch = data.batch_of(order[:NUM_CLIPS].tolist())
            denoiser = load_denoiser(teacher, processes.device)
            prune_release(
                teacher,
                release,
                PruneConfig(budget=config.budget, num_latency_calls=0),
                network=network_of(denoiser, "teacher"),
                data=lambda: noised_calls(
                    denoiser,
                    batch.latents,
                    batch.cond,
                    num_timesteps=NUM_TIMESTEPS,
                    generator=generator_from(config.seed, "calibration", device=processes.device),
                ),
                seeds={"calibration": config.seed},
            )
            write_text(mark, json.dumps(made_of(config), indent=1))
        barrier()
    return release


RECIPE = Recipe(
    name="world_pruning",
    summary="The world's teacher pruned to a budget.",
    config=WorldPruningConfig(),
    run=run,
)
