"""I3D's layout and padding; what it computes is compared with the published code in ``tests/reference``."""

import pytest
import torch

from rufous.core.errors import ConfigError
from rufous.perception.i3d import I3D, I3DConfig, from_published_names, has_torchscript_names, pad_same
from tests.perception.tiny_i3d import TINY_I3D, torchscript_names


def test_the_full_network_has_the_published_parameters_and_tensors():
    with torch.device("meta"):
        network = I3D(I3DConfig())
    assert sum(weight.numel() for weight in network.parameters()) == 12_697_264
    assert len(network.state_dict()) == 344
    assert network.state_dict()["Mixed_4e.b2b.conv3d.weight"].shape == (64, 32, 3, 3, 3)
    assert network.state_dict()["logits.conv3d.bias"].shape == (400,)


def test_padding_is_just_enough_with_the_odd_zero_behind():
    x = torch.ones(1, 1, 16, 224, 223)
    padded = pad_same(x, (7, 7, 7), (2, 2, 2))
    assert padded.shape == (1, 1, 21, 229, 229)  # 2 before and 3 behind; 3 and 3 where the length is odd
    assert padded[0, 0, :2].sum() == padded[0, 0, -3:].sum() == 0
    assert padded[0, 0, 2, 2, 3] == 1 == padded[0, 0, -4, -4, -4]


def test_both_files_names_lead_to_the_same_network():
    ours = I3D(TINY_I3D).state_dict()
    published = torchscript_names(ours)
    assert has_torchscript_names(published)
    assert not has_torchscript_names(ours)
    renamed = from_published_names(published)
    assert renamed.keys() == ours.keys()
    assert all(renamed[name] is ours[name] for name in ours)
    assert from_published_names(ours).keys() == ours.keys()


def test_counters_that_old_files_lack_are_made_up():
    ours = I3D(TINY_I3D).state_dict()
    old = {name: tensor for name, tensor in ours.items() if not name.endswith("num_batches_tracked")}
    assert from_published_names(old).keys() == ours.keys()


def test_clips_of_other_sizes_and_a_wrong_config_are_refused():
    network = I3D(TINY_I3D).eval()
    with pytest.raises(ValueError, match="8 frames of 224x224 do not fit: I3D reads 9 frames or more"):
        network(torch.zeros(1, 3, 8, 224, 224))
    with pytest.raises(ValueError, match="9 frames of 192x224"):
        network(torch.zeros(1, 3, 9, 224, 192))
    with pytest.raises(ConfigError, match="mixed has 1 blocks"):
        I3DConfig(mixed=((1, 1, 1, 1, 1, 1),))
