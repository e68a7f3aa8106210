from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from rufous.data.buckets import (
    NOT_KEPT,
    TOO_FEW_PIXELS,
    TOO_SHORT,
    Bucket,
    BucketConfig,
    BucketRule,
    ClipShapes,
    TokenCost,
    place,
    published_bucket,
)
from rufous.data.open_sora_buckets import OPEN_SORA_STAGES

STAGE_1 = BucketConfig.from_published(OPEN_SORA_STAGES["stage1"], mode="published")
WHOLE = {"480p": {51: (1.0, 4), 102: (1.0, 2)}, "240p": {1: (1.0, 9), 51: (1.0, 8), 102: (1.0, 4)}}


def published(num_frames, height, width, table=WHOLE, seed=0, stride=1):
    config = BucketConfig.from_published(table, mode="published", stride=stride)
    return published_bucket(num_frames, height, width, config, seed=seed)


def exact(*shapes, config=None, seed=0, epoch=0):
    config = config or BucketConfig.from_published(WHOLE)
    placement = place(ClipShapes.of(shapes), config, seed=seed, epoch=epoch)
    return [None if number < 0 else placement.buckets[number] for number in placement.bucket_of], placement


def test_published_lengths_need_one_frame_more():
    assert published(51, 480, 854) is None
    assert published(52, 480, 854).num_frames == 51
    assert published(102, 480, 854).num_frames == 51
    assert published(103, 480, 854).num_frames == 102
    assert published(102, 480, 854, stride=2) is None
    assert published(103, 480, 854, stride=2).num_frames == 51


def test_published_resolutions_take_four_fifths_of_their_pixels():
    assert published(60, 430, 764).resolution == "480p"
    assert published(60, 429, 762).resolution == "240p"
    assert published(60, 1080, 1920).resolution == "480p"
    assert published(60, 200, 300) is None


def test_published_images_go_to_their_own_rule():
    assert published(1, 240, 426) == Bucket("240p", 1, 240, 426, 9)
    assert published(1, 480, 854).resolution == "240p"


def test_published_blockers_send_long_clips_to_lower_resolutions():
    table = {"480p": {51: (1.0, 4), 102: (0.0, None)}, "240p": {51: (1.0, 8), 102: (1.0, 4)}}
    assert published(103, 480, 854, table) == Bucket("240p", 102, 240, 426, 4)
    assert published(60, 480, 854, table).resolution == "480p"


def test_published_draws_of_stage_1_land_where_open_sora_lands_them():
    """Counts of seeds 0 to 3999 for a clip of 450 frames and 336x596, from its own code."""
    found = [published_bucket(450, 336, 596, STAGE_1, seed=seed) for seed in range(4000)]
    counts = Counter((each.resolution, each.num_frames) for each in found if each)
    assert counts == COUNTS_OF_OPEN_SORA


COUNTS_OF_OPEN_SORA = {
    ("144p", 51): 561,
    ("144p", 102): 271,
    ("144p", 204): 102,
    ("144p", 408): 103,
    ("256", 51): 518,
    ("256", 102): 252,
    ("256", 204): 106,
    ("256", 408): 104,
    ("240p", 51): 707,
    ("240p", 102): 369,
    ("240p", 204): 131,
    ("240p", 408): 139,
    ("360p", 51): 322,
    ("360p", 102): 182,
    ("360p", 204): 64,
    ("360p", 408): 69,
}


def test_lengths_are_taken_as_they_are():
    found, _ = exact((51, 480, 854), (50, 480, 854), (101, 480, 854), (102, 480, 854))
    assert [each and each.num_frames for each in found] == [51, None, 51, 102]
    strided = replace(BucketConfig.from_published(WHOLE), stride=2)
    found, _ = exact((101, 480, 854), (100, 480, 854), config=strided)
    assert [each and each.num_frames for each in found] == [51, None]


def test_upright_clips_go_where_landscape_ones_go_turned():
    rng = np.random.default_rng(0)
    for height, width in rng.integers(700, 1900, size=(50, 2)).tolist():
        (landscape, upright), _ = exact((60, height, width), (60, width, height))
        assert (landscape.height, landscape.width) == (upright.width, upright.height)


def test_what_is_left_out_is_counted_by_reason():
    config = BucketConfig(
        rules=(BucketRule(resolution="240p", num_frames=51, keep=0.5, batch_size=1),), aspects=("9:16",)
    )
    shapes = [(60, 100, 100), (30, 240, 426), *[(60, 240, 426)] * 200]
    _, placement = exact(*shapes, config=config)
    assert placement.left_out[TOO_FEW_PIXELS] == placement.left_out[TOO_SHORT] == 1
    assert 70 < placement.left_out[NOT_KEPT] < 130
    assert sum(placement.counts.values()) + sum(placement.left_out.values()) == len(shapes)


def test_places_are_drawn_anew_each_epoch_and_depend_on_seed_and_epoch_alone():
    config = replace(STAGE_1, mode="exact")
    shapes = ClipShapes.of([(450, 336, 596)] * 300)
    first = place(shapes, config, seed=1, epoch=0)
    assert (place(shapes, config, seed=1, epoch=0).bucket_of == first.bucket_of).all()
    assert (place(shapes, config, seed=1, epoch=1).bucket_of != first.bucket_of).any()
    assert (place(shapes, config, seed=2, epoch=0).bucket_of != first.bucket_of).any()


def test_shares_are_kept_and_reached_as_published():
    """The two rules draw apart, but agree in distribution on which length at which resolution a clip gets."""
    count = 20_000
    placement = place(
        ClipShapes.of([(450, 336, 596)] * count), replace(STAGE_1, mode="exact"), seed=0, epoch=0
    )
    shares = Counter()
    for bucket, number in placement.counts.items():
        shares[bucket.resolution, bucket.num_frames] += number / count
    for key, number in COUNTS_OF_OPEN_SORA.items():
        assert abs(shares[key] - number / 4000) < 0.02, key


def test_a_video_shows_one_frame_only_where_stills_are_wanted():
    rules = (
        BucketRule(resolution="64x64", num_frames=16, reach=0.5, batch_size=1),
        BucketRule(resolution="64x64", num_frames=1, batch_size=4),
    )
    shapes = ClipShapes.of([(16, 64, 64)] * 400)
    config = BucketConfig(rules=rules, aspects=("1:1",), multiple=8)
    without = place(shapes, config, seed=0, epoch=0)
    assert {bucket.num_frames for bucket in without.counts} == {16}
    both = place(shapes, replace(config, stills=True), seed=0, epoch=0)
    counts = {bucket.num_frames: count for bucket, count in both.counts.items()}
    assert set(counts) == {1, 16}
    assert 150 < counts[1] < 250


def test_members_are_the_clips_of_each_bucket():
    shapes = [(52, 480, 854), (10, 10, 10), (110, 480, 854), (52, 480, 854)]
    _, placement = exact(*shapes)
    members = {bucket.num_frames: numbers.tolist() for bucket, numbers in placement.members()}
    assert members == {51: [0, 3], 102: [2]}


def test_cost_is_tokens():
    one, two = Bucket("a", 1, 64, 64, 8), Bucket("a", 17, 64, 64, 2)
    assert TokenCost()(one) == 8 * 16
    assert TokenCost(frames_per_token=3.4)(two) == pytest.approx(2 * 16 * 5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"resolution": "1p", "num_frames": 1, "batch_size": 1}, "resolution='1p'"),
        ({"resolution": "240p", "num_frames": 0, "batch_size": 1}, "num_frames=0"),
        ({"resolution": "240p", "num_frames": 1, "keep": 1.5, "batch_size": 1}, "keep=1.5"),
        ({"resolution": "240p", "num_frames": 1}, "give batch_size"),
        ({"resolution": "240p", "num_frames": 1, "batch_size": 0}, "batch_size=0"),
    ],
)
def test_rules_that_make_no_sense_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        BucketRule(**values)


def test_configs_that_make_no_sense_are_refused():
    rule = BucketRule(resolution="240p", num_frames=1, batch_size=1)
    for values, message in [
        ({"rules": ()}, "no rules"),
        ({"rules": (rule, rule)}, "two rules for 240p with 1 frames"),
        ({"rules": (rule,), "min_pixels": 0.0}, "min_pixels=0.0"),
        ({"rules": (rule,), "stills": True, "mode": "published"}, "stills=True"),
    ]:
        with pytest.raises(ValueError, match=message):
            BucketConfig(**values)
    with pytest.raises(ValueError, match="clip 1 has"):
        ClipShapes.of([(1, 2, 3), (0, 2, 3)])


@pytest.mark.parametrize("stage", list(OPEN_SORA_STAGES))
def test_published_mode_places_whole_sets(stage):
    config = BucketConfig.from_published(OPEN_SORA_STAGES[stage], mode="published")
    shapes = ClipShapes.of([(450, 336, 596), (1, 2048, 2048), (60, 720, 1280), (60, 50, 50)] * 5)
    placement = place(shapes, config, seed=7, epoch=1)
    assert (placement.bucket_of[3::4] == -1).all()
    assert all(bucket.num_frames == 1 or bucket.num_frames < 450 for bucket in placement.counts)
