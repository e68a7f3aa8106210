from dataclasses import replace

import pytest

from rufous.checkpoints.kinds import empty_network
from rufous.compression.blocks import (
    block_names,
    canonical,
    outermost,
    preset_config,
    shapes_left,
    without_blocks,
)
from rufous.networks.unet3d import UNET_0_7B, UNET_0_9B, VIDEOCRAFTER2
from rufous.networks.vae2d import AutoencoderKLConfig
from tests.compression.conftest import TINY


def count(config: object) -> int:
    return sum(parameter.numel() for parameter in empty_network(config).parameters())


def test_blocks_are_named_in_the_networks_order_and_a_stage_before_its_parts():
    names = block_names(TINY)
    assert names[:3] == ("init_attn", "input_blocks.1", "input_blocks.1.0.temopral_conv")
    middle = [name for name in names if name.startswith("middle_block")]
    assert middle == [f"middle_block{part}" for part in ("", ".0", ".0.temopral_conv", ".1", ".2", ".3")] + [
        "middle_block.3.temopral_conv"
    ]
    assert not [name for name in block_names(TINY, "stages") if name.count(".") > 1]


def test_without_a_block_its_parameters_are_gone_and_no_others():
    whole = empty_network(TINY)
    for name in ("init_attn", "input_blocks.5.0", "middle_block", "output_blocks.0.2", "output_blocks.1"):
        lost = count(TINY) - count(without_blocks(TINY, [name]))
        assert lost == sum(parameter.numel() for parameter in whole.get_submodule(name).parameters()) > 0


def test_what_is_gone_is_named_no_more():
    config = without_blocks(TINY, ["middle_block", "input_blocks.5.1"])
    left = block_names(config)
    assert set(block_names(TINY)) - set(left) == {
        "input_blocks.5.1",
        *(name for name in block_names(TINY) if name.startswith("middle_block")),
    }
    assert "input_blocks.5" in left


def test_a_stage_swallows_the_parts_that_went_before_it():
    config = without_blocks(TINY, ["input_blocks.5.1", "input_blocks.5.0.temopral_conv"])
    assert without_blocks(config, ["input_blocks.5"]).removed_blocks == {"input_blocks.5"}
    assert without_blocks(TINY, ["middle_block", "middle_block.1"]).removed_blocks == {"middle_block"}


@pytest.mark.parametrize("stage", ["middle_block", "input_blocks.2"])
def test_a_stage_whose_every_part_goes_goes_by_its_own_name(stage):
    attended = replace(TINY, attention_resolutions=(1, 2))
    parts = [name for name in block_names(attended) if name.startswith(f"{stage}.")]
    assert without_blocks(attended, parts).removed_blocks == {stage}
    first = without_blocks(attended, parts[:1])
    assert first.removed_blocks == set(parts[:1])
    left = [part for part in parts if not part.startswith(f"{parts[0]}.")][1:]
    assert without_blocks(first, left).removed_blocks == {stage}


def test_one_network_has_one_canonical_config():
    parts = frozenset(f"middle_block.{i}" for i in range(4))
    assert canonical(replace(TINY, removed_blocks=parts)) == without_blocks(TINY, ["middle_block"])
    assert canonical(TINY) == TINY
    some = replace(TINY, num_res_blocks=1, removed_blocks=parts - {"middle_block.1"} | {"output_blocks.0"})
    assert canonical(some) == some


def test_the_tensors_left_are_those_of_the_pruned_network():
    config = without_blocks(TINY, ["input_blocks.5.1", "output_blocks.0", "middle_block.0.temopral_conv"])
    own = empty_network(config).state_dict()
    assert shapes_left(config) == {name: tuple(tensor.shape) for name, tensor in own.items()}


def test_outermost_keeps_names_that_only_begin_alike():
    assert outermost(["a.1", "a.1.0", "a.10", "b"]) == {"a.1", "a.10", "b"}


def test_blocks_that_cannot_go_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"'middel_block' is none that can go: did you mean 'middle_block'"):
        without_blocks(TINY, ["middel_block"])
    with pytest.raises(ValueError, match="'middle_block' is removed already"):
        without_blocks(replace(TINY, removed_blocks=frozenset({"middle_block"})), ["middle_block"])


def test_presets_are_the_published_networks():
    assert preset_config(VIDEOCRAFTER2, "hummingbird-0.9b") == UNET_0_9B
    assert preset_config(VIDEOCRAFTER2, "hummingbird-0.7b") == UNET_0_7B
    assert preset_config(UNET_0_9B, "hummingbird-0.7b") == UNET_0_7B


def test_an_unknown_preset_and_one_for_a_pruned_network_are_refused():
    with pytest.raises(ValueError, match="'hummingbird-2b' is unknown: use one of hummingbird-0"):
        preset_config(TINY, "hummingbird-2b")
    pruned = without_blocks(VIDEOCRAFTER2, ["middle_block.1", "input_blocks.2"])
    with pytest.raises(
        ValueError, match=r"already \(without input_blocks.2, middle_block.1\): prune its unpruned parent"
    ):
        preset_config(pruned, "hummingbird-0.9b")


def test_a_network_without_named_blocks_is_refused():
    with pytest.raises(
        ValueError, match=r"AutoencoderKLConfig does not say which blocks can go: use .* unet3d"
    ):
        block_names(AutoencoderKLConfig())
