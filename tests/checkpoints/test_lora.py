import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rufous.checkpoints.from_videocrafter import infer_unet_config
from rufous.checkpoints.lora import lora_targets, merge_lora_list
from rufous.checkpoints.matching import load_strictly
from rufous.core.errors import CheckpointError
from rufous.core.types import Conditioning
from rufous.networks.unet3d import UNet3D
from tests.checkpoints.tiny_files import TINY_UNET, bare_list, randomize
from tests.reference.fill import input_by_rule, state_dict_by_rule, tensor_by_rule

CASE = Path(__file__).parents[1] / "reference" / "cases" / "lora_t2v_turbo_tiny.json"


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return ((found - wanted).norm() / wanted.norm()).item()


def test_the_published_list_merges_as_in_the_reference():
    case = json.loads(CASE.read_text())
    seed, lora = case["seed"], case["lora"]
    recorded = load_file(CASE.with_suffix(".safetensors"))
    weights = state_dict_by_rule(case["tensors"], seed, case["gain"])
    unet = UNet3D(infer_unet_config(weights, where="case")).eval()
    load_strictly(unet, weights, where="case")
    inputs = {name: input_by_rule(name, shape, seed) for name, shape in case["inputs"].items()}
    cond = Conditioning(
        prompt_embeds=inputs["context"],
        fps=recorded["fps"].float(),
        guidance_embeds=inputs["timestep_cond"],
    )
    entries = [tensor_by_rule(f"lora.{i}", s, seed, lora["gain"]) for i, s in enumerate(lora["list_shapes"])]
    assert [name for name, _ in lora_targets(unet)] == lora["targets_in_order"]
    with torch.no_grad():
        before = unet(inputs["sample"], recorded["timestep"].float(), cond)
        merge_lora_list(unet, entries)
        after = unet(inputs["sample"], recorded["timestep"].float(), cond)
    assert relative_error(before, recorded["output_without_lora"]) < 1e-4
    assert relative_error(after, recorded["output"]) < 1e-4


def test_scale_zero_changes_nothing():
    unet = randomize(UNet3D(TINY_UNET))
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    merge_lora_list(unet, bare_list(unet), scale=0.0)
    assert all(torch.equal(before[name], tensor) for name, tensor in unet.state_dict().items())


def test_a_list_of_another_network_is_refused_before_anything_changes():
    unet = randomize(UNet3D(TINY_UNET))
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    entries = bare_list(unet)
    entries[-1] = entries[-1][:, :1]
    with pytest.raises(CheckpointError, match=r"does not fit at out\.2, whose weight is \(4, 32, 3, 3\)"):
        merge_lora_list(unet, entries)
    with pytest.raises(CheckpointError, match="belongs to another network"):
        merge_lora_list(unet, entries[:-2])
    assert all(torch.equal(before[name], tensor) for name, tensor in unet.state_dict().items())
