import pytest
import torch

from rufous.core.errors import ConfigError
from rufous.perception.musiq import MUSIQ, MUSIQConfig, StandardizedConv, hashed_places, pad_same
from tests.perception.tiny_towers import randomize

# that a small network equals the published code is shown in tests/reference

TINY = MUSIQConfig(patch_size=8, hidden_size=12, mlp_dim=16, num_heads=2, num_layers=2, longer_sides=(16, 24))


@pytest.fixture(scope="module")
def network():
    return randomize(MUSIQ(TINY))


def frames(height=20, width=33, count=1, seed=0):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def test_frames_are_scored_each_by_itself_whatever_their_size(network):
    for height, width in ((20, 33), (40, 11), (8, 8)):
        scores = network(frames(height, width, count=2))
        assert scores.shape == (2,)
        torch.testing.assert_close(scores[1:], network(frames(height, width, count=2)[1:]))


@torch.inference_mode()
def test_every_part_of_a_frame_counts_and_its_place_does(network):
    image = frames()
    score = network(image)
    for rows, columns in ((slice(0, 4), slice(0, 4)), (slice(-4, None), slice(-4, None))):
        changed = image.clone()
        changed[..., rows, columns] = 0
        assert not torch.allclose(network(changed), score, atol=1e-5)
    assert not torch.allclose(network(image.flip(3)), score, atol=1e-5)


@torch.inference_mode()
def test_each_size_of_a_frame_gives_as_many_patches_as_cover_it(network):
    counts = [patches.shape[1] for patches, _ in network._patches(frames(20, 33))]
    assert counts == [2 * 2, 2 * 3, 3 * 5]  # 10 x 16, 15 x 24, 20 x 33 pixels


def test_places_spread_over_the_grid():
    assert hashed_places(2, 3, 10).tolist() == [0, 3, 6, 50, 53, 56]
    assert hashed_places(20, 1, 10).tolist() == [10 * (i // 2) for i in range(20)]


def test_padding_is_that_of_tensorflow():
    padded = pad_same(torch.ones(1, 1, 32, 7), 7, 2)
    assert padded.shape == (1, 1, 37, 13)
    assert padded[0, 0, :, 6].nonzero().flatten().tolist() == list(range(2, 34))
    assert pad_same(torch.ones(1, 1, 16, 16), 8, 8).shape == (1, 1, 16, 16)


def test_standardized_kernels_ignore_scale_and_offset():
    torch.manual_seed(0)
    conv = StandardizedConv(3, 4, 3, stride=2)
    before = conv(frames())
    with torch.no_grad():
        conv.weight.mul_(5).add_(2)
    torch.testing.assert_close(conv(frames()), before, rtol=1e-3, atol=1e-4)
    assert before.shape == (1, 4, 10, 17)


def test_a_config_reads_the_published_names_and_refuses_what_does_not_fit():
    config = MUSIQConfig.from_reference({"spatial_pos_grid_size": 7, "longer_side_lengths": [384, 224]})
    assert (config.grid_size, config.longer_sides) == (7, (224, 384))
    with pytest.raises(ConfigError, match="no multiple of num_heads=5"):
        MUSIQConfig(num_heads=5)
    with pytest.raises(ConfigError, match="patch_size=30"):
        MUSIQConfig(patch_size=30)
    with pytest.raises(ConfigError, match="must rise"):
        MUSIQConfig(longer_sides=(384, 224))


def test_frames_that_vanish_when_they_shrink_are_refused(network):
    with pytest.raises(ValueError, match="frames of 1 x 100 are too narrow"):
        network(frames(1, 100))
