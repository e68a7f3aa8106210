import pytest
import torch

from rufous.core.errors import ConfigError
from rufous.perception.amt import AMT, AMTConfig, warp
from rufous.perception.correlation import CorrelationPyramid

# that the full-size network equals the published one is shown in tests/reference

TINY = AMTConfig(corr_levels=2, corr_radius=1, channels=(4, 6, 8, 10), skip_channels=4)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return AMT(TINY).eval()


def frames(height=32, width=48, count=1, seed=0):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def test_frames_of_any_size_come_back_in_their_size_within_range(network):
    between = network.interpolate(frames(35, 41), frames(35, 41, seed=1))
    assert between.shape == (1, 3, 35, 41)
    assert between.min() >= 0
    assert between.max() <= 1
    assert between.std() > 0.01


@torch.inference_mode()
def test_frames_that_fit_are_not_padded(network):
    first, second = frames(), frames(seed=1)
    torch.testing.assert_close(network.interpolate(first, second), network(first, second), rtol=0, atol=0)


@torch.inference_mode()
def test_pairs_do_not_see_each_other(network):
    first, second = frames(count=2), frames(count=2, seed=1)
    torch.testing.assert_close(
        network(first, second)[1:], network(first[1:], second[1:]), rtol=1e-4, atol=1e-4
    )


@torch.inference_mode()
def test_the_time_and_both_frames_count(network):
    first, second = frames(), frames(seed=1)
    middle = network(first, second)
    for other in (network(first, second, time=0.25), network(first, first), network(second, second)):
        assert not torch.allclose(middle, other, atol=1e-4)


def test_warping_by_whole_pixels_reads_the_shifted_picture_and_repeats_its_border():
    image = frames()
    flow = torch.tensor([2.0, -1.0]).reshape(1, 2, 1, 1).expand(1, 2, 32, 48)
    moved = warp(image, flow)
    torch.testing.assert_close(moved[..., 1:, :-2], image[..., :-1, 2:], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(moved[..., 1:, -1], image[..., :-1, -1], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_the_second_pyramid_reads_the_same_products_from_the_other_side(network):
    forth, back = network._correlate(frames(), frames(seed=1))
    back_swapped, forth_swapped = network._correlate(frames(seed=1), frames())
    points = 3 * torch.rand(1, 2, 4, 6, generator=torch.Generator().manual_seed(2))
    for one, other in ((forth, forth_swapped), (back, back_swapped)):
        assert isinstance(one, CorrelationPyramid)
        torch.testing.assert_close(one.around(points), other.around(points), rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_refused(network):
    with pytest.raises(ValueError, match="frames of 35 x 41 do not fit: pad them to multiples of 16"):
        network(frames(35, 41), frames(35, 41))
    with pytest.raises(ValueError, match="at least 32 pixels a side"):
        network.interpolate(frames(16, 48), frames(16, 48))
    with pytest.raises(ValueError, match=r"time=1\.0 is not between"):
        network(frames(), frames(), time=1.0)
    with pytest.raises(ConfigError, match="skip_channels=8"):
        AMTConfig(channels=(4, 6, 8, 10), skip_channels=8)
    with pytest.raises(ConfigError, match="not positive"):
        AMTConfig(num_flows=0)
