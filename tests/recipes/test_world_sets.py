from dataclasses import replace
from pathlib import Path

import torch

from rufous.recipes.processes import Processes
from rufous.recipes.world_sets import SIXTEEN, TWENTY_SIX, WorldSet, alternating, open_sets

ALONE = Processes(torch.device("cpu"), None)


def two_sets(road) -> tuple[WorldSet, WorldSet]:
    """Clips of 4 and of 6 frames."""
    return (
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


def test_batches_of_both_lengths_take_turns_and_know_their_rate(road):
    sets = two_sets(road)
    data = open_sets(sets, Path(road.root / "teacher" / "release"), ALONE)
    with alternating(sets, data, seed=0) as batches:
        first, second, third = batches.take(3)
    assert [tuple(batch.latents.shape[:3]) for batch in (first, second, third)] == [
        (4, 4, 4),
        (2, 4, 6),
        (4, 4, 4),
    ]
    assert second.cond.fps.tolist() == [8.0, 8.0]


def test_a_set_shows_a_motion_as_often_as_asked(road):
    first, second = two_sets(road)
    data = open_sets((first, second), Path(road.root / "teacher" / "release"), ALONE)
    clips = data[1].clips
    often = clips.motions[0]
    its = {
        caption for i, motion in enumerate(clips.motions) if motion == often for caption in clips.captions[i]
    }
    shares = []
    for repeats in ({}, {often: 40}):
        with alternating((first, replace(second, repeats=repeats)), data, seed=0) as batches:
            longer = batches.take(32)[1::2]
        shown = [prompt in its for batch in longer for prompt in batch.prompts]
        shares.append(sum(shown) / len(shown))
    assert shares[0] < 0.7
    assert shares[1] > 0.8


def test_batches_of_a_set_may_vary_in_length_and_go_on_where_they_were(road):
    first, second = two_sets(road)
    sets = (first, replace(second, shortest=5))
    data = open_sets(sets, Path(road.root / "teacher" / "release"), ALONE)
    with alternating(sets, data, seed=0) as batches:
        lengths = {batch.cond.frame_indices.shape[1] for batch in batches.take(12)[1::2]}
        state, expected = batches.state_dict(), batches.take(6)
    assert lengths == {5, 6}
    with alternating(sets, data, seed=0) as resumed:
        resumed.load_state_dict(state)
        for one, other in zip(expected, resumed.take(6), strict=True):
            torch.testing.assert_close(one.latents, other.latents)


def test_the_longer_clips_are_others_and_a_batch_costs_about_the_same():
    assert SIXTEEN.clips.seed != TWENTY_SIX.clips.seed
    frames = [each.batch_size * each.clips.num_frames for each in (SIXTEEN, TWENTY_SIX)]
    assert abs(frames[0] - frames[1]) <= 16
