import pytest
from torch import nn

from rufous.checkpoints.kinds import (
    KINDS,
    NETWORKS,
    DiffusionConfig,
    check_kind,
    empty_network,
    kind_of,
    kind_of_config,
    shapes_of,
)
from rufous.checkpoints.presets import PRESETS
from rufous.core.config import from_json_dict, to_json_dict
from rufous.core.errors import CheckpointError
from rufous.networks.text_encoders import WordTokenizer


def test_every_object_has_its_kind(networks: dict[str, nn.Module]):
    assert {kind_of(network) for network in networks.values()} <= set(NETWORKS)
    assert kind_of(DiffusionConfig()) == "diffusion"
    assert kind_of(WordTokenizer(["a"])) == "word_tokenizer"
    assert all(check_kind(kind, where="x") == kind for kind in KINDS)


def test_a_config_alone_gives_its_kind_and_a_network_without_memory(networks: dict[str, nn.Module]):
    for network in networks.values():
        empty = empty_network(network.config)
        assert type(empty) is type(network)
        assert all(tensor.is_meta for tensor in empty.state_dict().values())
        assert kind_of_config(network.config) == kind_of(network)
        assert shapes_of(network.config) == {n: tuple(t.shape) for n, t in network.state_dict().items()}


def test_anything_else_is_refused():
    with pytest.raises(ValueError, match="a DiffusionConfig is the config of no network: use unet3d"):
        kind_of_config(DiffusionConfig())
    with pytest.raises(CheckpointError, match="a dict cannot be a component"):
        kind_of({})
    with pytest.raises(CheckpointError, match="this code knows unet3d"):
        check_kind(None, where="x")


@pytest.mark.parametrize("name", PRESETS)
def test_sampling_settings_survive_json(name: str):
    assert from_json_dict(DiffusionConfig, to_json_dict(PRESETS[name])) == PRESETS[name]


@pytest.mark.parametrize("field", ["num_frames", "height", "fps", "written_fps"])
def test_sizes_and_rates_are_positive(field: str):
    value = -1.0 if "fps" in field else -1
    with pytest.raises(ValueError, match="must be positive"):
        DiffusionConfig(**{field: value})
