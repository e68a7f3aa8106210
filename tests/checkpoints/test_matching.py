import pytest
import torch
from torch import nn

from rufous.checkpoints.matching import check_shapes, load_strictly, nearest
from rufous.core.errors import CheckpointError


def test_equal_names_and_shapes_pass():
    check_shapes({"a": (1,)}, {"a": (1,)}, where="x")


def test_a_renamed_key_is_shown_beside_its_nearest_name():
    wanted = {"input_blocks.0.weight": (2,), "out.bias": (3,)}
    given = {"input_block.0.weight": (2,), "out.bias": (3,)}
    with pytest.raises(CheckpointError) as error:
        check_shapes(wanted, given, where="model.ckpt")
    text = str(error.value)
    assert "model.ckpt does not fit its config: 1 missing, 1 unexpected, 0 of another shape" in text
    assert "missing input_blocks.0.weight (nearest: input_block.0.weight)" in text
    assert "unexpected input_block.0.weight (nearest: input_blocks.0.weight)" in text


def test_wrong_shapes_name_both():
    with pytest.raises(CheckpointError, match=r"shape of a: \(3,\), expected \(2,\)"):
        check_shapes({"a": (2,)}, {"a": (3,)}, where="x")


def test_a_thousand_differences_are_counted_and_not_listed():
    with pytest.raises(CheckpointError) as error:
        check_shapes({f"layer.{i}": (1,) for i in range(1000)}, {"other": (1,)}, where="x")
    assert "1000 missing" in str(error.value)
    assert "and 992 more" in str(error.value)
    assert len(str(error.value)) < 2000


def test_weights_are_taken_over_without_a_copy():
    weight = torch.ones(2, 3)
    with torch.device("meta"):
        network = nn.Linear(3, 2, bias=False)
    load_strictly(network, {"weight": weight}, where="x")
    assert network.weight.data_ptr() == weight.data_ptr()


def test_a_buffer_that_no_file_holds_is_named():
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mask", torch.ones(2), persistent=False)

    with torch.device("meta"):
        network = Masked()
    with pytest.raises(CheckpointError, match="mask cannot come from a file"):
        load_strictly(network, {}, where="x")


def test_nothing_near_is_none():
    assert nearest("zzzz", ["abc"]) is None
