from rufous.data.buckets import BucketConfig
from rufous.data.open_sora_buckets import OPEN_SORA_STAGES


def test_the_stages_are_those_of_the_published_configs():
    stage1, stage2, stage3 = (OPEN_SORA_STAGES[name] for name in ("stage1", "stage2", "stage3"))
    assert stage1["360p"][408] == ((0.15, 0.1), 1)
    assert stage2["512"][102] == ((0.2, 0.4), 4)
    assert stage3["480p"][408] == (0.0, None)
    assert [sum(len(each) for each in stage.values()) for stage in (stage1, stage2, stage3)] == [26, 35, 40]


def test_each_stage_makes_buckets_of_both_kinds():
    for stage in OPEN_SORA_STAGES.values():
        published = BucketConfig.from_published(stage, mode="published")
        assert BucketConfig.from_published(stage).rules == published.rules
        assert next(iter(published.descending)) == "2048"
