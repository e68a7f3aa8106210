"""Windows, gates and shifts; parity with the published code is in tests/reference."""

import pytest
import torch

from rufous.core.errors import ConfigError
from rufous.perception.gated_swin import (
    GatedSwin,
    GatedSwinConfig,
    from_windows,
    into_windows,
    offset_numbers,
    windows_of,
)
from tests.perception.tiny_dover import TINY_DOVER
from tests.perception.tiny_towers import randomize

CPU = torch.device("cpu")


@pytest.mark.parametrize("is_shifted", [False, True])
def test_cutting_into_windows_is_undone(is_shifted):
    windows = windows_of((4, 6, 9), (2, 3, 3), is_shifted=is_shifted, device=CPU)
    x = torch.arange(2 * 4 * 6 * 9.0).reshape(2, 4, 6, 9, 1)
    cut = into_windows(x, windows)
    assert cut.shape == (2 * 2 * 2 * 3, 18, 1)
    assert torch.equal(from_windows(cut, windows), x)


def test_a_window_that_holds_an_axis_is_not_shifted_along_it():
    windows = windows_of((2, 9, 2), (4, 3, 3), is_shifted=True, device=CPU)
    assert (windows.size, windows.shift, windows.padded) == ((2, 3, 2), (0, 1, 0), (2, 9, 2))


def test_the_gate_counts_the_fragments_between_two_tokens():
    windows = windows_of((1, 6, 6), (1, 3, 3), is_shifted=False, device=CPU)  # fragments of 2 x 2 tokens
    gate = windows.gate[0, 0]  # the first window: lines and columns 0 to 2 are of fragments 0, 0, 1
    assert gate[0, 1] == 0  # neighbours in one fragment
    assert gate[0, 2] == 1  # one column of fragments further
    assert gate[0, 8] == 2  # one line and one column further: the gate is not limited to 1
    assert torch.equal(gate, gate.T)


def test_tokens_that_meet_by_wrapping_around_do_not_see_each_other():
    windows = windows_of((1, 6, 6), (1, 3, 3), is_shifted=True, device=CPU)
    assert windows.mask is not None
    assert (windows.mask[0] == 0).all()
    last = windows.mask[-1, 0]  # its tokens come from all four corners
    assert last[0, 0] == 0
    assert last[0, 8] == -100


def test_equal_offsets_have_one_row_of_the_table():
    numbers = offset_numbers((2, 3, 3))
    assert numbers[0, 1] == numbers[1, 2] == numbers[9, 10]
    assert numbers[0, 1] != numbers[1, 0]
    assert (numbers.min(), numbers.max()) == (0, 3 * 5 * 5 - 1)


def test_clips_of_a_batch_do_not_touch_each_other():
    network = randomize(GatedSwin(TINY_DOVER.technical))
    video = torch.rand(2, 3, 5, 40, 32)
    together = network(video)
    assert together.shape == (2, 8, 3, 5, 4)
    torch.testing.assert_close(together[1:], network(video[1:]))


def test_stages_that_do_not_match_are_refused():
    with pytest.raises(ConfigError, match="must name as many stages"):
        GatedSwinConfig(depths=(2, 2))
    with pytest.raises(ConfigError, match="num_heads=5 does not divide"):
        GatedSwinConfig(num_heads=(5, 6, 12, 24))
