import pytest
from torch import nn

from rufous.checkpoints.kinds import KINDS, NETWORKS, DiffusionConfig, check_kind, kind_of
from rufous.checkpoints.presets import PRESETS
from rufous.core.config import from_json_dict, to_json_dict
from rufous.core.errors import CheckpointError
from rufous.networks.text_encoders import WordTokenizer


def test_every_object_has_its_kind(networks: dict[str, nn.Module]):
    assert {kind_of(network) for network in networks.values()} <= set(NETWORKS)
    assert kind_of(DiffusionConfig()) == "diffusion"
    assert kind_of(WordTokenizer(["a"])) == "word_tokenizer"
    assert all(check_kind(kind, where="x") == kind for kind in KINDS)


def test_anything_else_is_refused():
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
