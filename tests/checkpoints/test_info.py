from pathlib import Path

import pytest
import torch
from torch import nn

from rufous.checkpoints.info import describe_path
from rufous.checkpoints.kinds import DiffusionConfig
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import save_release
from rufous.core.errors import CheckpointError
from tests.checkpoints.tiny_files import bare_list, save_module_of_lost_class, whole_checkpoint


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_a_release_shows_parameters_dtypes_configs_and_manifest(
    networks: dict[str, nn.Module], tmp_path: Path
):
    components = {**networks, "scheduler": DiffusionConfig()}
    manifest = save_release(tmp_path / "tiny", components, Manifest(name="tiny"), dtype=torch.bfloat16)
    info = describe_path(tmp_path / "tiny")
    assert info.layout == "release"
    assert info.manifest == manifest
    assert {part.name: part.num_parameters for part in info.components if part.num_tensors} == {
        name: count(network) for name, network in networks.items()
    }
    unet = info.components[0]
    assert list(unet.dtypes) == ["bfloat16"]
    assert unet.config["model_channels"] == 32
    assert info.num_parameters == sum(map(count, networks.values()))


def test_a_component_and_its_safetensors_file_are_described_alone(
    networks: dict[str, nn.Module], tmp_path: Path
):
    save_release(tmp_path / "tiny", networks, Manifest(name="tiny"))
    for path in (tmp_path / "tiny" / "vae", tmp_path / "tiny" / "vae" / "model.safetensors"):
        (part,) = describe_path(path).components
        assert (part.kind, part.num_parameters) == ("autoencoder_kl", count(networks["vae"]))
        assert part.config["base_channels"] == 32


@pytest.mark.parametrize("layout", ["state_dict", "module"])
def test_a_published_file_shows_what_it_would_become(
    layout: str, networks: dict[str, nn.Module], tmp_path: Path
):
    tensors = whole_checkpoint(networks)
    if layout == "module":
        save_module_of_lost_class(tensors, tmp_path / "m.pt")
    else:
        torch.save({"state_dict": tensors}, tmp_path / "m.pt")
    info = describe_path(tmp_path / "m.pt")
    assert info.layout == layout
    assert [part.num_parameters for part in info.components] == [count(n) for n in networks.values()]
    assert info.notes == ("to be converted: U-Net of width 32 with guidance embedding",)


def test_a_lora_and_unknown_weights_are_counted(networks: dict[str, nn.Module], tmp_path: Path):
    torch.save(bare_list(networks["unet"]), tmp_path / "lora.pt")
    torch.save({"w": torch.zeros(3)}, tmp_path / "other.pt")
    assert describe_path(tmp_path / "lora.pt").layout == "lora_list"
    (part,) = describe_path(tmp_path / "other.pt").components
    assert (part.kind, part.num_parameters) == ("unknown", 3)


def test_nothing_there_is_one_clear_error(tmp_path: Path):
    with pytest.raises(CheckpointError, match="does not exist"):
        describe_path(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="neither a release nor a component"):
        describe_path(tmp_path)
