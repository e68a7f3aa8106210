import threading
import time

import pytest

from rufous.data.bucket_batches import BucketBatches
from rufous.data.bucket_sampler import BucketSampler
from rufous.data.buckets import BucketConfig, BucketRule, ClipShapes

SHAPES = ClipShapes.of([(16, 64, 64), (16, 64, 96)] * 30)
RULES = BucketConfig(
    rules=(BucketRule(resolution="64x64", num_frames=16, batch_size=4),), aspects=("1:1", "2:3")
)


class Numbered:
    """Examples that tell what was asked for; those in ``bad`` cannot be read."""

    def __init__(self, bad=(), slow=False):
        self.bad, self.slow = set(bad), slow

    def example(self, index, bucket, epoch):
        if self.slow:
            time.sleep(0.002 * (index % 3))
        if index in self.bad:
            raise ValueError("no such file")
        return index, bucket.name, epoch


def batches(dataset=None, prefetch=0, num_threads=1):
    sampler = BucketSampler(SHAPES, RULES, seed=3)
    return BucketBatches(dataset or Numbered(), tuple, sampler, prefetch=prefetch, num_threads=num_threads)


@pytest.mark.parametrize(("prefetch", "num_threads"), [(0, 1), (1, 1), (5, 3)])
def test_a_saved_position_is_exact_with_any_number_of_threads(prefetch, num_threads):
    expected = batches().take(40)
    before, after = batches(Numbered(slow=True), prefetch, num_threads), batches(prefetch=2, num_threads=2)
    assert before.take(17) == expected[:17]
    after.take(2)
    after.load_state_dict(before.state_dict())
    assert after.take(23) == expected[17:]
    before.close()
    after.close()


def test_closing_ends_the_threads_and_taking_goes_on():
    before = set(threading.enumerate())
    source = batches(prefetch=3, num_threads=2)
    first = source.take(1)
    source.close()
    assert not set(threading.enumerate()) - before
    assert first + source.take(2) == batches().take(3)
    source.close()


def test_an_unreadable_clip_is_told_and_another_of_its_bucket_stands_in(caplog):
    whole = batches().take(14)
    bad = {whole[2][1][0], whole[5][0][0]}
    found, again = (batches(Numbered(bad), prefetch).take(14) for prefetch in (0, 2))
    assert found == again
    assert found != whole
    for batch in found:
        assert len({name for _, name, _ in batch}) == 1
        assert not {index for index, _, _ in batch} & bad
    assert sorted({record.args[0] for record in caplog.records}) == sorted(bad)


def test_a_bucket_that_cannot_be_read_at_all_is_an_error_and_the_position_stays():
    dataset = Numbered(bad=range(60))
    source = batches(dataset, prefetch=2)
    with pytest.raises(ValueError, match=r"cannot be read; the last one says: no such file"):
        source.take(1)
    dataset.bad = set()
    assert source.take(3) == batches().take(3)
    source.close()


def test_no_threads_are_refused():
    with pytest.raises(ValueError, match="num_threads=0"):
        batches(num_threads=0)


def test_batches_are_joined_by_the_thread_that_takes_them():
    threads = []
    sampler = BucketSampler(SHAPES, RULES, seed=3)

    def join(part):
        threads.append(threading.current_thread())
        return tuple(part)

    source = BucketBatches(Numbered(), join, sampler, prefetch=2)
    source.take(4)
    source.close()
    assert set(threads) == {threading.current_thread()}
