import pytest
import torch

from rufous.core.errors import CheckpointError, ConfigError
from rufous.perception.umt import UMT, UMTConfig, from_published_names, read_labels, sinusoid_positions
from tests.perception.tiny_towers import randomize

# that a small network equals the published code is shown in tests/reference

TINY = UMTConfig(img_size=16, patch_size=8, all_frames=4, embed_dim=12, depth=2, num_heads=2, num_classes=5)


@pytest.fixture(scope="module")
def network():
    return randomize(UMT(TINY))


def clips(count=2, frames=4, size=16):
    return torch.randn(count, 3, frames, size, size, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_clips_are_classified_each_by_itself_and_every_frame_counts(network):
    pixels = clips()
    logits = network(pixels)
    assert logits.shape == (2, 5)
    torch.testing.assert_close(network(pixels[1:]), logits[1:])
    for frame in range(4):
        changed = pixels.clone()
        changed[0, :, frame] = 0
        assert not torch.allclose(network(changed)[0], logits[0], atol=1e-5)
    assert not torch.allclose(network(pixels.flip(2)), logits, atol=1e-5)


def test_the_table_itself_is_sinusoids_of_the_index():
    table = sinusoid_positions(UMTConfig(img_size=112, patch_size=8, all_frames=8, embed_dim=8, num_heads=2))
    assert table.shape == (1, 8 * 14 * 14, 8)
    index = torch.tensor([0.0, 1.0, 700.0])
    torch.testing.assert_close(table[0, [0, 1, 700], 0], index.sin(), rtol=0, atol=1e-4)
    torch.testing.assert_close(table[0, [0, 1, 700], 3], (index / 10).cos(), rtol=0, atol=1e-4)


def test_a_file_without_positions_gets_the_computed_ones(network):
    tensors = {name: tensor for name, tensor in network.state_dict().items() if name != "pos_embed"}
    completed = from_published_names(tensors, TINY)
    torch.testing.assert_close(completed["pos_embed"], sinusoid_positions(TINY))
    given = from_published_names(network.state_dict(), TINY)
    torch.testing.assert_close(given["pos_embed"], network.pos_embed, rtol=0, atol=0)
    UMT(TINY).load_state_dict(completed, strict=True)


def test_clips_of_another_size_are_refused(network):
    with pytest.raises(ValueError, match=r"reads exactly \(4, 16, 16\)"):
        network(clips(frames=3))


def test_configs_that_do_not_fit_are_refused():
    assert UMTConfig.from_reference({"tubelet_size": 1, "depth": 3}).depth == 3
    with pytest.raises(ConfigError, match="tubelet_size=2 is not built"):
        UMTConfig.from_reference({"tubelet_size": 2})
    with pytest.raises(ConfigError, match="num_heads=5"):
        UMTConfig(num_heads=5)
    with pytest.raises(ConfigError, match="no multiple of patch_size=15"):
        UMTConfig(patch_size=15)


def test_labels_are_in_the_order_of_their_indices(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("Riding a bike\t2\nmarching\t0\n\ndodgeball\t1\n")
    assert read_labels(path, num_classes=3) == ("marching", "dodgeball", "riding a bike")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("marching\t0\ndodgeball\t0\n", "line 2: .* is not a name, a tab and an index of its own"),
        ("marching 0\n", "line 1"),
        ("marching\tnone\n", "line 1"),
        ("marching\t0\ndodgeball\t2\n", "names 2 actions, not each from 0 to 1"),
        ("", "names 0 actions"),
    ],
)
def test_labels_that_are_not_complete_are_refused(tmp_path, text, message):
    path = tmp_path / "labels.txt"
    path.write_text(text)
    with pytest.raises(CheckpointError, match=message):
        read_labels(path, num_classes=2)


def test_a_missing_file_of_labels_is_one_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"labels\.txt cannot be read"):
        read_labels(tmp_path / "labels.txt")
