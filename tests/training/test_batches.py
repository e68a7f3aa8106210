import threading

import pytest
import torch

from rufous.core.errors import CheckpointError
from rufous.training import InterleavedBatches, ShuffledBatches


def numbers(**settings):
    return ShuffledBatches(range(10), torch.tensor, **{"batch_size": 3, "seed": 5, **settings})


def taken(batches, n):
    return [batch.tolist() for batch in batches.take(n)]


def test_an_epoch_shows_no_example_twice_and_the_next_one_is_shuffled_anew():
    first, second = numbers().take(3), numbers().take(6)[3:]
    assert len(set(torch.cat(first).tolist())) == 9
    assert torch.cat(first).tolist() != torch.cat(second).tolist()


def test_the_order_depends_on_the_seed_alone():
    assert taken(numbers(), 7) == taken(numbers(), 7)
    assert taken(numbers(), 7) != taken(numbers(seed=6), 7)


def test_the_ranks_share_the_batches_of_a_single_process():
    whole = taken(numbers(batch_size=4), 5)
    ranks = [taken(numbers(batch_size=2, rank=rank, world_size=2), 5) for rank in (0, 1)]
    assert whole == [left + right for left, right in zip(*ranks, strict=True)]


@pytest.mark.parametrize("prefetch", [0, 1, 4])
def test_a_saved_position_counts_what_was_taken_and_not_what_was_read_ahead(prefetch):
    expected = taken(numbers(), 9)
    before, after = numbers(prefetch=prefetch), numbers(prefetch=prefetch)
    assert taken(before, 4) == expected[:4]
    after.take(2)
    after.load_state_dict(before.state_dict())
    assert taken(after, 5) == expected[4:]
    before.close()
    after.close()


def test_closing_ends_the_thread_and_taking_goes_on():
    before = set(threading.enumerate())  # others may have left theirs
    batches = numbers(prefetch=2)
    first = taken(batches, 1)
    started = set(threading.enumerate()) - before
    assert [thread.name for thread in started] == ["rufous-read-ahead"]
    batches.close()
    assert not started & set(threading.enumerate())
    assert first + taken(batches, 2) == taken(numbers(), 3)
    batches.close()


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_error_while_reading_reaches_the_one_who_takes_and_the_position_stays(prefetch):
    failures = [OSError("disk gone")]

    def read(examples):
        if examples and failures:
            raise failures.pop()
        return torch.tensor(examples)

    batches = ShuffledBatches(range(10), read, batch_size=3, seed=5, prefetch=prefetch)
    with pytest.raises(OSError, match="disk gone"):
        batches.take(2)
    assert taken(batches, 3) == taken(numbers(), 3)
    batches.close()


def test_other_data_is_refused():
    with pytest.raises(CheckpointError, match="batch_size over all ranks was 3 and is 2"):
        numbers(batch_size=2).load_state_dict(numbers().state_dict())
    with pytest.raises(CheckpointError, match="seed was 5 and is 6"):
        numbers(seed=6).load_state_dict(numbers().state_dict())


def test_another_number_of_ranks_goes_on_at_the_same_example():
    expected = taken(numbers(batch_size=4), 7)
    ranks = [numbers(batch_size=2, rank=rank, world_size=2) for rank in (0, 1)]
    for rank in ranks:
        rank.take(3)
    alone = numbers(batch_size=4)
    alone.load_state_dict(ranks[1].state_dict())
    assert taken(alone, 2) == expected[3:5]
    for rank in ranks:
        rank.load_state_dict(alone.state_dict())
    left, right = (taken(rank, 2) for rank in ranks)
    assert [one + two for one, two in zip(left, right, strict=True)] == expected[5:]
    with pytest.raises(CheckpointError, match="batch_size over all ranks was 4 and is 8"):
        numbers(batch_size=4, rank=0, world_size=2).load_state_dict(alone.state_dict())


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match="does not fit 10 examples: use 1 to 5"):
        numbers(batch_size=6, world_size=2)


def test_a_rank_outside_the_world_is_refused():
    with pytest.raises(ValueError, match="rank=2"):
        numbers(rank=2, world_size=2)


def counting_from(first: int) -> ShuffledBatches:
    return ShuffledBatches(range(first, first + 6), list, batch_size=2, seed=5)


def test_sources_take_turns_and_go_on_at_a_saved_turn():
    both = InterleavedBatches([counting_from(0), counting_from(100)])
    taken = both.take(3)
    assert [min(batch) >= 100 for batch in taken] == [False, True, False]
    again = InterleavedBatches([counting_from(0), counting_from(100)])
    again.load_state_dict(both.state_dict())
    assert again.take(5) == both.take(5)


def test_the_number_of_sources_may_not_change():
    state = InterleavedBatches([counting_from(0)]).state_dict()
    with pytest.raises(CheckpointError, match="1 sources of batches, and now 2"):
        InterleavedBatches([counting_from(0), counting_from(9)]).load_state_dict(state)
    with pytest.raises(ValueError, match="no source"):
        InterleavedBatches([])
