"""Sets of the world's clips of several lengths, so that a student learns 16 and 26 frames alike."""

import contextlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rufous.distillation.denoising import LatentBatch
from rufous.recipes.processes import Processes
from rufous.recipes.varying_lengths import varied
from rufous.recipes.world_clips import WorldClipsConfig
from rufous.recipes.world_data import WorldData, open_world_data
from rufous.recipes.world_latents import WorldLatentsConfig
from rufous.training.batches import InterleavedBatches


@dataclass(frozen=True, kw_only=True)
class WorldSet:
    """Clips of one length, where they are rendered to and encoded to, and how many a batch has."""

    clips: WorldClipsConfig = field(default_factory=WorldClipsConfig)
    clips_dir: str = "runs/world_clips"
    latents_dir: str = "runs/world_latents"
    batch_size: int = 16
    repeats: Mapping[str, int] = field(default_factory=dict)
    """How often a clip of a motion is shown each epoch; once where none is given."""
    shortest: int | None = None
    """Each batch is cut to a length from here to the clips'; None leaves all of them whole."""


SIXTEEN = WorldSet()
TWENTY_SIX = WorldSet(
    clips=replace(SIXTEEN.clips, num_frames=26, seed=3, num_clips=4_000),
    clips_dir="runs/world_clips_26",
    latents_dir="runs/world_latents_26",
    batch_size=10,
)


def open_sets(sets: Sequence[WorldSet], release: Path, processes: Processes) -> list[WorldData]:
    """Each set's data, encoded by a release's autoencoder and read by its text tower."""
    return [
        open_world_data(
            WorldLatentsConfig(clips=each.clips, clips_dir=each.clips_dir, autoencoder=str(release)),
            each.latents_dir,
            str(release),
            processes,
        )
        for each in sets
    ]


@contextlib.contextmanager
def alternating(
    sets: Sequence[WorldSet], data: Sequence[WorldData], seed: int
) -> Generator[InterleavedBatches[LatentBatch], None, None]:
    """A batch of each set in turn, read ahead while the block runs."""
    with contextlib.ExitStack() as stack:
        sources = [
            stack.enter_context(
                contextlib.closing(each.batches(batch_size=one.batch_size, seed=seed, repeats=one.repeats))
            )
            for one, each in zip(sets, data, strict=True)
        ]
        yield InterleavedBatches(varied(sources, [one.shortest for one in sets], seed=seed))
