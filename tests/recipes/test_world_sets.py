from dataclasses import replace
from pathlib import Path

import torch

from rufous.recipes.processes import Processes
from rufous.recipes.world_sets import SIXTEEN, TWENTY_SIX, WorldSet, alternating, open_sets


def test_batches_of_both_lengths_take_turns_and_know_their_rate(road):
    alone = Processes(torch.device("cpu"), None)
    sets = (
        WorldSet(
            clips=road.clips,
            clips_dir=str(road.root / "clips"),
            latents_dir=str(road.root / "latents"),
            batch_size=4,
        ),
        WorldSet(
            clips=replace(road.clips, num_frames=6, seed=3),
            clips_dir=str(road.root / "clips_6"),
            latents_dir=str(road.root / "latents_6"),
            batch_size=2,
        ),
    )
    data = open_sets(sets, Path(road.root / "teacher" / "release"), alone)
    with alternating(sets, data, seed=0) as batches:
        first, second, third = batches.take(3)
    assert [tuple(batch.latents.shape[:3]) for batch in (first, second, third)] == [
        (4, 4, 4),
        (2, 4, 6),
        (4, 4, 4),
    ]
    assert second.cond.fps.tolist() == [8.0, 8.0]


def test_the_longer_clips_are_others_and_a_batch_costs_about_the_same():
    assert SIXTEEN.clips.seed != TWENTY_SIX.clips.seed
    frames = [each.batch_size * each.clips.num_frames for each in (SIXTEEN, TWENTY_SIX)]
    assert abs(frames[0] - frames[1]) <= 16
