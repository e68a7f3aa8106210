from pathlib import Path
from typing import Any

import pytest
import torch

from rufous.checkpoints.formats import read_source
from rufous.checkpoints.tensor_files import write_tensors
from rufous.core.errors import CheckpointError
from tests.checkpoints.tiny_files import save_module_of_lost_class

WEIGHTS = {"a.weight": torch.ones(2, 2), "a.bias": torch.zeros(2)}


@pytest.mark.parametrize(
    ("content", "layout"),
    [
        ({"state_dict": WEIGHTS, "epoch": 1}, "state_dict"),
        ({"module": {f"_forward_module.{name}": value for name, value in WEIGHTS.items()}}, "deepspeed"),
        (WEIGHTS, "weights"),
    ],
)
def test_each_wrapping_gives_the_same_names(content: Any, layout: str, tmp_path: Path):
    torch.save(content, tmp_path / "m.bin")
    source = read_source(tmp_path / "m.bin")
    assert (source.layout, set(source.tensors)) == (layout, set(WEIGHTS))


def test_safetensors_are_known_by_their_content_whatever_the_suffix(tmp_path: Path):
    write_tensors(tmp_path / "m.ckpt", WEIGHTS)
    assert read_source(tmp_path / "m.ckpt").layout == "safetensors"


def test_a_module_inside_a_dict_is_found_too(tmp_path: Path):
    save_module_of_lost_class(WEIGHTS, tmp_path / "m.pt")
    source = read_source(tmp_path / "m.pt")
    assert source.layout == "module"
    assert set(source.tensors) == set(WEIGHTS)


def test_a_list_of_tensors_is_a_lora(tmp_path: Path):
    torch.save([torch.ones(2, 1), torch.ones(1, 3)], tmp_path / "lora.pt")
    source = read_source(tmp_path / "lora.pt")
    assert source.layout == "lora_list"
    assert [tuple(entry.shape) for entry in source.entries] == [(2, 1), (1, 3)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "an empty list"),
        ({}, "an empty dict"),
        ({"state_dict": {}}, "an empty dict"),
        ("text", "a str"),
        ({"weights": torch.ones(1), "lr": 0.1}, "more than tensors: lr"),
        ({"module": {"_forward_module.a": torch.ones(1), "a": torch.ones(1)}}, "with and without the prefix"),
    ],
)
def test_anything_else_is_refused_with_what_was_found(content: Any, message: str, tmp_path: Path):
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=message):
        read_source(tmp_path / "m.pt")


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match="is a folder"):
        read_source(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_source(tmp_path / "absent")


class Scripted(torch.nn.Module):
    """A network whose program TorchScript writes beside its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
        self.register_buffer("offset", torch.tensor([1.0, 2.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x + self.offset)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_torchscript_file_gives_its_tensors_and_its_program_is_not_read(tmp_path: Path):
    network = Scripted()
    torch.jit.save(torch.jit.script(network), str(tmp_path / "m.pt"))
    source = read_source(tmp_path / "m.pt")
    assert source.layout == "torchscript"
    assert source.tensors.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(source.tensors[name], tensor)
