import pytest
import torch

from rufous.perception.amt import AMT, AMT_S
from rufous.perception.correlation import (
    CorrelationPyramid,
    Padding,
    all_products,
    cell_positions,
    pyramid_bytes,
)
from rufous.perception.raft import RAFT, RAFT_THINGS


def maps(seed, height=4, width=6):
    return torch.randn(2, 5, height, width, generator=torch.Generator().manual_seed(seed))


def test_products_are_scaled_inner_products_of_every_pair():
    first, second = maps(0), maps(1)
    products = all_products(first, second)
    assert products.shape == (2, 4, 6, 4, 6)
    expected = (first[1, :, 2, 3] * second[1, :, 0, 5]).sum() / 5**0.5
    torch.testing.assert_close(products[1, 2, 3, 0, 5], expected)


def test_a_point_on_a_cell_reads_that_cell_and_its_neighbours():
    products = all_products(maps(0), maps(1))
    pyramid = CorrelationPyramid(products, levels=1, radius=1)
    read = pyramid.around(cell_positions(maps(0)))
    assert read.shape == (2, 9, 4, 6)
    for index, (right, down) in enumerate((x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)):
        expected = products[0, 2, 3, 2 + down, 3 + right]
        torch.testing.assert_close(read[0, index, 2, 3], expected)


def test_the_memory_of_a_pyramid_is_foretold():
    pyramid = CorrelationPyramid(all_products(maps(0, 8, 9)[:1], maps(1, 8, 9)[:1]), levels=3, radius=1)
    assert pyramid_bytes(8, 9, levels=3) == sum(level.nbytes for level in pyramid._levels)


def test_the_published_networks_foretell_what_large_frames_take():
    with torch.device("meta"):
        raft, amt = RAFT(RAFT_THINGS), AMT(AMT_S)
    needed = {side: raft.correlation_bytes(side, side * 16 // 9) / 1e9 for side in (720, 1080, 2160)}
    assert needed == pytest.approx({720: 1.10, 1080: 5.58, 2160: 89.2}, rel=0.01)
    assert amt.correlation_bytes(720, 1280) == 2 * raft.correlation_bytes(720, 1280)


def test_beyond_the_map_there_is_no_correlation():
    pyramid = CorrelationPyramid(all_products(maps(0), maps(1)), levels=1, radius=0)
    assert pyramid.around(cell_positions(maps(0)) + 100).count_nonzero() == 0


def test_levels_average_two_by_two():
    products = all_products(maps(0, 8, 8), maps(1, 8, 8))
    pyramid = CorrelationPyramid(products, levels=2, radius=0)
    read = pyramid.around(torch.full((2, 2, 8, 8), 2.0))
    torch.testing.assert_close(read[:, 1, 0, 0], products[:, 0, 0, 2:4, 2:4].mean(dim=(1, 2)))


def test_maps_that_are_too_small_for_their_levels_are_refused():
    products = all_products(maps(0), maps(1))
    with pytest.raises(ValueError, match="use frames of at least 64 pixels a side, padding included"):
        CorrelationPyramid(products, levels=3, radius=1)


@pytest.mark.parametrize(("height", "width"), [(16, 24), (17, 23), (9, 31)])
def test_padding_is_centred_repeats_the_border_and_is_taken_off_again(height, width):
    frames = torch.rand(1, 3, height, width)
    padding = Padding.to_multiple(frames, 8)
    padded = padding.add(frames)
    assert padded.shape[-2] % 8 == padded.shape[-1] % 8 == 0
    assert padded.shape[-2] - height < 8
    assert 0 <= padding.bottom - padding.top <= 1
    assert 0 <= padding.right - padding.left <= 1
    torch.testing.assert_close(padded[..., 0, 0], frames[..., 0, 0], rtol=0, atol=0)
    torch.testing.assert_close(padding.remove(padded), frames, rtol=0, atol=0)
