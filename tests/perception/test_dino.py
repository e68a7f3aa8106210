import pytest
import torch

from rufous.core.errors import ConfigError
from rufous.perception.dino import DINO, DINOConfig
from tests.perception.dino_in_transformers import as_transformers
from tests.perception.tiny_towers import randomize

# equality with the published code, also on frames that are not square, is shown in tests/reference

TINY = DINOConfig(img_size=24, patch_size=8, embed_dim=12, depth=2, num_heads=2)


@pytest.fixture(scope="module")
def network():
    return randomize(DINO(TINY))


def pixels(height=24, width=24, count=2):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_square_frames_give_the_features_of_transformers(network):
    expected = as_transformers(network, TINY)(pixels()).last_hidden_state[:, 0]
    torch.testing.assert_close(network(pixels()), expected, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_frames_of_any_shape_give_features_each_by_itself(network):
    for height, width in ((24, 24), (24, 41), (33, 8)):
        features = network(pixels(height, width))
        assert features.shape == (2, 12)
        torch.testing.assert_close(features[1:], network(pixels(height, width)[1:]))


@torch.inference_mode()
def test_what_does_not_fill_a_patch_is_not_seen(network):
    torch.testing.assert_close(
        network(pixels(24, 47)), network(pixels(24, 47)[..., :40]), rtol=1e-4, atol=1e-5
    )


@torch.inference_mode()
def test_where_a_patch_lies_counts(network):
    image = pixels(24, 40)
    assert not torch.allclose(network(image), network(image.flip(3)), atol=1e-4)
    assert not torch.allclose(network(image), network(torch.roll(image, 8, dims=3)), atol=1e-4)


def test_what_does_not_fit_is_refused(network):
    with pytest.raises(ValueError, match="too small: use 8 pixels a side or more"):
        network(pixels(7, 24))
    with pytest.raises(ConfigError, match="num_heads=5"):
        DINOConfig(num_heads=5)
    with pytest.raises(ConfigError, match="no multiple of patch_size=15"):
        DINOConfig(patch_size=15)
