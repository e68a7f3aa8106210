import pytest
import torch
from torch import nn

from rufous.compression.blocks import block_names
from rufous.compression.sensitivity import (
    block_influences,
    output_change,
    output_changes,
    outputs_of,
    relative_change,
)
from tests.compression.conftest import TINY


def silenced(teacher: nn.Module, name: str) -> None:
    """Make a transformer add nothing."""
    part = teacher.get_submodule(name)
    nn.init.zeros_(part.proj_out.weight)
    nn.init.zeros_(part.proj_out.bias)


def test_relative_change_is_0_for_no_change_and_1_for_no_output():
    reference = [torch.randn(2, 4, 3, 2, 2, generator=torch.Generator().manual_seed(0))]
    assert relative_change(reference, reference) == 0.0
    assert relative_change([torch.zeros_like(reference[0])], reference) == pytest.approx(1.0)
    assert relative_change([-reference[0]], reference) == pytest.approx(4.0)


def test_every_example_counts_alike_whatever_its_size():
    reference = torch.ones(2, 1, 1, 1, 1) * torch.tensor([1.0, 100.0]).view(2, 1, 1, 1, 1)
    changed = reference.clone()
    changed[0] = 0.0
    assert relative_change([changed], [reference]) == pytest.approx(0.5)


def test_a_block_that_adds_nothing_changes_nothing_and_has_no_influence(teacher, calls):
    silenced(teacher, "input_blocks.5.1")
    changes = output_changes(teacher, ["input_blocks.5.1", "input_blocks.5.2"], calls)
    influences = block_influences(teacher, ["input_blocks.5.1", "input_blocks.5.2"], calls)
    assert changes["input_blocks.5.1"] == 0.0 < changes["input_blocks.5.2"]
    assert influences["input_blocks.5.1"] == pytest.approx(0.0, abs=1e-6)
    assert influences["input_blocks.5.2"] > 1e-3


@torch.no_grad()
def test_an_output_that_is_not_finite_is_refused_with_what_is_missing_and_the_dtype(teacher, calls):
    teacher.middle_block[3].out_layers[-1].bias.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="the output of the network is NaN or infinite in float32"):
        output_changes(teacher, ["middle_block"], calls)
    assert output_change(teacher, ["middle_block.3"], calls, [calls[0].latents, calls[1].latents]) > 0
    with pytest.raises(FloatingPointError, match=r"without init_attn, output_blocks.1 is NaN"):
        output_change(teacher, ["output_blocks.1", "init_attn"], calls, [calls[0].latents])
    with pytest.raises(FloatingPointError, match=r"what middle_block.3 reads or writes is NaN"):
        block_influences(teacher, ["input_blocks.2", "middle_block.3"], calls)


def test_a_block_that_turns_its_input_around_has_influence_2(teacher, calls):
    class Turn(nn.Module):
        def forward(self, x, *_):
            return -3.0 * x

    teacher.middle_block[1] = Turn()
    assert block_influences(teacher, ["middle_block.1"], calls)["middle_block.1"] == pytest.approx(2.0)


def test_a_stage_on_the_way_up_is_compared_with_what_it_passes_on_not_with_its_skip(teacher, calls):
    class PassOn(nn.Module):
        def forward(self, x, *_):
            return x[:, :8]

    stage = teacher.output_blocks[4]
    stage[0] = PassOn()
    assert block_influences(teacher, ["output_blocks.4"], calls)["output_blocks.4"] == pytest.approx(
        0, abs=1e-6
    )


def test_measuring_leaves_the_network_as_it_was(teacher, calls):
    before = outputs_of(teacher, calls)
    output_changes(teacher, ["middle_block", "output_blocks.1"], calls)
    block_influences(teacher, block_names(TINY), calls[:1])
    assert all(torch.equal(*pair) for pair in zip(before, outputs_of(teacher, calls), strict=True))
    assert not any(module._forward_hooks for module in teacher.modules())


def test_no_calls_are_refused(teacher):
    with pytest.raises(ValueError, match="at least one call"):
        block_influences(teacher, ["middle_block"], [])
    with pytest.raises(ValueError, match="at least one call"):
        output_change(teacher, ["middle_block"], [])
