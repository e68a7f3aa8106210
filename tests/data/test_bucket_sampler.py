import logging
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from rufous.core.errors import CheckpointError
from rufous.data.bucket_sampler import UNFILLED, BucketSampler, SamplerConfig, buffered_order
from rufous.data.buckets import BucketConfig, BucketRule, ClipShapes, TokenCost, place

RULES = BucketConfig(
    rules=(
        BucketRule(resolution="64x64", num_frames=16, batch_size=4, keep=0.7),
        BucketRule(resolution="64x64", num_frames=1, batch_size=8),
        BucketRule(resolution="96x96", num_frames=32, batch_size=2, keep=0.5),
    ),
    aspects=("3:4", "1:1", "4:3"),
)
_rng = np.random.default_rng(0)
SHAPES = ClipShapes.of(
    [(int(_rng.choice([1, 20, 40])), *side) for side in _rng.integers(64, 140, size=(900, 2)).tolist()]
)


def samplers(world_size, seed=1, **settings):
    config = SamplerConfig(**settings)
    return [
        BucketSampler(SHAPES, RULES, config, seed=seed, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]


def epoch_of(sampler):
    return sampler.next_batches(len(sampler))


def test_all_processes_draw_the_same_bucket_in_a_step():
    for step in zip(*map(epoch_of, samplers(4)), strict=True):
        assert len({batch.bucket for batch in step}) == 1
        assert all(len(batch.indices) == batch.bucket.batch_size for batch in step)


def test_balanced_by_cost_little_is_waited_for_and_less_is_left_out():
    ranks = samplers(4, balance="cost")
    cost = [[TokenCost()(batch.bucket) for batch in step] for step in zip(*map(epoch_of, ranks), strict=True)]
    waited = sum(4 * max(step) - sum(step) for step in cost) / sum(4 * max(step) for step in cost)
    assert 0.0 < waited < 0.05
    assert ranks[0].plan(0).left_out[UNFILLED] < samplers(4)[0].plan(0).left_out[UNFILLED]


def test_buckets_come_in_mixed_order_and_no_clip_twice_an_epoch():
    batches = epoch_of(samplers(1)[0])
    seen = [index for batch in batches for index in batch.indices]
    assert len(seen) == len(set(seen)) > 600
    names = [batch.bucket.name for batch in batches]
    assert sum(left != right for left, right in pairwise(names)) > len(names) / 2


def test_the_length_is_that_of_the_present_epoch():
    (sampler,) = samplers(1)
    first, second = len(sampler.plan(0)), len(sampler.plan(1))
    assert first != second
    assert len(sampler) == first
    sampler.advance(first)
    assert (sampler.epoch, len(sampler)) == (1, second)
    assert sampler.next_batches(1) == [sampler.plan(1)[0]]


def test_the_order_depends_on_seed_and_epoch_alone():
    (one,), (same,), (other,) = samplers(1), samplers(1), samplers(1, seed=2)
    assert epoch_of(one) == epoch_of(same) != epoch_of(other)
    one.advance(len(one) + 3)
    assert one.next_batches(5) == same.next_batches(5, ahead=len(same) + 3)


def test_a_saved_position_goes_on_exactly_in_a_later_epoch():
    (one,), (other,) = samplers(1), samplers(1)
    one.advance(len(one) + 10)
    other.load_state_dict(one.state_dict())
    assert other.epoch == 1
    assert other.next_batches(20) == one.next_batches(20)


def test_fewer_processes_go_on_with_the_same_clips():
    four = samplers(4)
    for sampler in four:
        sampler.advance(3)
    expected = [batch for step in zip(*(s.next_batches(4) for s in four), strict=True) for batch in step]
    two = samplers(2)
    for sampler in two:
        sampler.load_state_dict(four[0].state_dict())
    found = [batch for step in zip(*(s.next_batches(8) for s in two), strict=True) for batch in step]
    assert found == expected
    with pytest.raises(CheckpointError, match="3 processes cannot share that evenly"):
        samplers(3)[0].load_state_dict(four[0].state_dict())
    with pytest.raises(CheckpointError, match="2 processes cannot share that evenly"):
        samplers(2)[0].load_state_dict(samplers(1)[0].state_dict())


def test_a_wider_group_lets_more_processes_go_on():
    (one,) = samplers(1, group=2)
    one.advance(4)
    two = samplers(2, group=2)
    for sampler in two:
        sampler.load_state_dict(one.state_dict())
    found = [batch for step in zip(*(s.next_batches(3) for s in two), strict=True) for batch in step]
    assert found == one.next_batches(6)


def test_other_clips_buckets_or_settings_are_refused():
    (sampler,) = samplers(1)
    fewer = ClipShapes(SHAPES.num_frames[1:], SHAPES.height[1:], SHAPES.width[1:])
    for other, names in [
        (BucketSampler(fewer, RULES, seed=1), "num_clips, shapes differ"),
        (BucketSampler(SHAPES, replace(RULES, min_pixels=0.9), seed=1), "buckets differ"),
        (BucketSampler(SHAPES, RULES, SamplerConfig(remainder="repeat"), seed=1), "buckets differ"),
        (BucketSampler(SHAPES, RULES, seed=2), "seed differ"),
    ]:
        with pytest.raises(CheckpointError, match=names):
            other.load_state_dict(sampler.state_dict())


def test_fewer_batches_than_processes_are_an_error_that_counts_them():
    few = ClipShapes.of([(16, 64, 64)] * 7 + [(16, 8, 8)])
    rules = BucketConfig(rules=(BucketRule(resolution="64x64", num_frames=16, batch_size=4),))
    with pytest.raises(
        ValueError, match=r"8 clips fill no batch for each of 2 processes .*: 7 clips for batches of 4; none"
    ):
        BucketSampler(few, rules, world_size=2)
    assert len(BucketSampler(few, rules, world_size=1)) == 1
    repeated = BucketSampler(few, rules, SamplerConfig(remainder="repeat"), world_size=2, rank=1)
    assert len(repeated) == 1
    assert set(repeated.next_batches(1)[0].indices) <= set(range(7))


def test_what_is_left_out_is_told(caplog):
    with caplog.at_level(logging.INFO, logger="rufous"):
        (sampler,) = samplers(1)
    left_out = sampler.plan(0).left_out
    trained = sum(batch.bucket.batch_size for batch in epoch_of(sampler))
    assert trained + sum(left_out.values()) == len(SHAPES)
    assert f"{left_out[UNFILLED]} (more than fill the batches of their bucket)" in caplog.text


def test_places_repeat_after_so_many_epochs_in_another_order():
    (sampler,) = samplers(1, redraws=1)
    first = epoch_of(sampler)
    sampler.advance(len(sampler))
    second = epoch_of(sampler)
    assert first != second
    assert {batch.epoch for batch in second} == {0}
    placed = [{i: b.bucket for b in batches for i in b.indices} for batches in (first, second)]
    both = placed[0].keys() & placed[1].keys()
    assert all(placed[0][index] == placed[1][index] for index in both)


def test_a_buffered_order_is_a_permutation_that_reads_few_runs_at_a_time():
    order = buffered_order(1000, 50, torch.Generator().manual_seed(0))
    assert sorted(order.tolist()) == list(range(1000))
    assert order.tolist() != list(range(1000))
    runs = [len(set((order[start : start + 50] // 50).tolist())) for start in range(0, 1000, 50)]
    assert np.mean(runs) < 6
    assert buffered_order(0, 5, torch.Generator()).tolist() == []


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="buffer=0"):
        SamplerConfig(buffer=0)
    with pytest.raises(ValueError, match="group=3 cannot be shared by 2"):
        BucketSampler(SHAPES, RULES, SamplerConfig(group=3), world_size=2)
    with pytest.raises(ValueError, match="rank=2"):
        BucketSampler(SHAPES, RULES, rank=2, world_size=2)


@pytest.mark.slow
def test_a_million_clips_are_put_in_order_in_seconds():
    """Prints the figures of docs/curation_loader.md; process time, so that a busy machine counts little."""
    rng = np.random.default_rng(0)
    count = 1_000_000
    shapes = ClipShapes(np.full(count, 40), np.full(count, 100), rng.integers(60, 140, count))
    start = time.process_time()
    place(shapes, RULES, seed=0, epoch=0)
    placed = time.process_time()
    sampler = BucketSampler(shapes, RULES)
    ordered = time.process_time()
    print(f"placed in {placed - start:.2f} s, placed and ordered in {ordered - placed:.2f} s: {len(sampler)}")
    assert placed - start < 5.0
    assert ordered - placed < 30.0
