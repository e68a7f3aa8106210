from collections import Counter

import pytest
import torch

from rufous.core.errors import CheckpointError
from rufous.core.types import Conditioning
from rufous.distillation.denoising import LatentBatch
from rufous.recipes.varying_lengths import VaryingLengths
from rufous.training.batches import ShuffledBatches

FRAMES = 8


def collated(clips: list[int]) -> LatentBatch:
    """Clips whose every frame tells the clip and the frame."""
    frames = torch.arange(FRAMES, dtype=torch.float32)
    latents = torch.stack([100.0 * clip + frames for clip in clips])[:, None, :, None, None]
    batch = len(clips)
    cond = Conditioning(
        fps=torch.full((batch,), 8.0),
        frame_indices=frames.expand(batch, -1),
        clip_frames=torch.full((batch,), float(FRAMES)),
        image_latents=latents,
        frame_mask=frames.expand(batch, -1) > 0,
    )
    return LatentBatch(latents=latents, cond=cond)


def source(rank: int = 0) -> ShuffledBatches[int, LatentBatch]:
    return ShuffledBatches(list(range(12)), collated, batch_size=2, seed=1, rank=rank, world_size=2)


def varying(rank: int = 0, *, shortest: int = 3, seed: int = 5) -> VaryingLengths:
    return VaryingLengths(source(rank), shortest=shortest, seed=seed)


def test_every_length_of_the_range_comes_about_as_often_and_from_every_start():
    batches = varying().take(600)
    lengths = Counter(batch.latents.shape[2] for batch in batches)
    assert sorted(lengths) == [3, 4, 5, 6, 7, 8]
    assert min(lengths.values()) > 60
    starts = {int(batch.latents[0, 0, 0, 0, 0]) % 100 for batch in batches if batch.latents.shape[2] == 3}
    assert starts == {0, 1, 2, 3, 4, 5}


def test_frames_are_a_run_of_the_clip_and_count_as_a_whole_one():
    for whole, cut in zip(source().take(20), varying().take(20), strict=True):
        length = cut.latents.shape[2]
        start = int(cut.latents[0, 0, 0, 0, 0]) % 100
        torch.testing.assert_close(cut.latents, whole.latents[:, :, start : start + length])
        torch.testing.assert_close(cut.cond.image_latents, cut.latents)
        assert cut.cond.frame_indices.tolist() == [list(range(length))] * 2
        assert cut.cond.clip_frames.tolist() == [length] * 2
        assert cut.cond.frame_mask.tolist() == [[start + frame > 0 for frame in range(length)]] * 2
        assert cut.cond.fps.tolist() == [8.0, 8.0]


def test_what_a_batch_lacks_stays_absent():
    bare = LatentBatch(latents=torch.zeros(1, 1, FRAMES, 1, 1), cond=Conditioning())
    bares = ShuffledBatches([0], lambda _: bare, batch_size=1)
    cut = VaryingLengths(bares, shortest=2, seed=0).take(1)[0]
    assert cut.cond == Conditioning()


def test_ranks_cut_different_clips_alike():
    first, second = varying(0).take(40), varying(1).take(40)
    assert [one.latents.shape for one in first] == [other.latents.shape for other in second]
    assert any(not torch.equal(a.latents, b.latents) for a, b in zip(first, second, strict=True))


def test_a_saved_position_goes_on_with_the_same_cuts():
    batches = varying()
    batches.take(7)
    state, expected = batches.state_dict(), batches.take(5)
    resumed = varying()
    resumed.load_state_dict(state)
    for one, other in zip(expected, resumed.take(5), strict=True):
        torch.testing.assert_close(one.latents, other.latents)


@pytest.mark.parametrize(
    ("change", "name"), [({"shortest": 2}, "shortest was 3 and is 2"), ({"seed": 6}, "was 5 and is 6")]
)
def test_other_cuts_than_the_saved_ones_are_refused(change, name):
    with pytest.raises(CheckpointError, match=name):
        varying(**change).load_state_dict(varying().state_dict())


def test_a_range_that_no_clip_has_is_refused():
    with pytest.raises(ValueError, match="leaves no frame"):
        varying(shortest=0)
    with pytest.raises(ValueError, match="the clips have 8 frames"):
        varying(shortest=9).take(1)
