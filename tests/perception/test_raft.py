import pytest
import torch

from rufous.core.errors import ConfigError
from rufous.perception.raft import RAFT, RAFTConfig, from_published_names, upsample

# that the full-size network equals the published one is shown in tests/reference

TINY = RAFTConfig(encoder_widths=(8, 8, 8), feature_dim=8, hidden_dim=8, corr_levels=2, corr_radius=1)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return RAFT(TINY).eval()


def frames(height=40, width=48, count=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 255 * torch.rand(count, 3, height, width, generator=generator)


@torch.inference_mode()
def test_flow_has_the_size_of_the_frames_or_of_the_padded_ones(network):
    first, second = frames(37, 45), frames(37, 45, seed=1)
    padded = network.flow(first, second, num_iterations=2, keep_padding=True)
    flow = network.flow(first, second, num_iterations=2)
    assert padded.shape == (1, 2, 40, 48)
    torch.testing.assert_close(flow, padded[..., 1:38, 1:46], rtol=0, atol=0)


@torch.inference_mode()
def test_frames_that_fit_are_not_padded(network):
    first, second = frames(), frames(seed=1)
    torch.testing.assert_close(
        network.flow(first, second, num_iterations=2),
        network(first, second, num_iterations=2),
        rtol=0,
        atol=0,
    )


@torch.inference_mode()
def test_pairs_do_not_see_each_other_and_both_frames_count(network):
    first, second = frames(count=2), frames(count=2, seed=1)
    both = network(first, second, num_iterations=2)
    alone = network(first[1:], second[1:], num_iterations=2)
    torch.testing.assert_close(both[1:], alone, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(network(second, first, num_iterations=2), both, atol=1e-3)
    assert not torch.allclose(network(first, first, num_iterations=2), both, atol=1e-3)


@torch.inference_mode()
def test_every_iteration_changes_the_flow(network):
    first, second = frames(), frames(seed=1)
    one, two = (network(first, second, num_iterations=n) for n in (1, 2))
    assert not torch.allclose(one, two, atol=1e-4)


def test_upsampled_flow_is_a_convex_combination_in_pixels():
    torch.manual_seed(0)
    flow = torch.ones(1, 2, 4, 4)
    inner = upsample(flow, torch.randn(1, 576, 4, 4))[..., 8:-8, 8:-8]
    torch.testing.assert_close(inner, torch.full_like(inner, 8.0))


def test_the_prefix_of_the_published_file_is_taken_off(network):
    tensors = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    RAFT(TINY).load_state_dict(from_published_names(tensors), strict=True)


def test_what_does_not_fit_is_refused(network):
    with pytest.raises(ValueError, match="frames of 37 x 45 do not fit: pad them to multiples of 8"):
        network(frames(37, 45), frames(37, 45))
    with pytest.raises(ValueError, match="at least 32 pixels a side"):
        network.flow(frames(20, 48), frames(20, 48))
    with pytest.raises(ValueError, match="num_iterations=0"):
        network(frames(), frames(), num_iterations=0)
    with pytest.raises(ConfigError, match="hidden_dim=7"):
        RAFTConfig(hidden_dim=7)
    with pytest.raises(ConfigError, match="not positive"):
        RAFTConfig(corr_levels=0)
