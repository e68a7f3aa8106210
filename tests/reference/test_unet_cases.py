"""VideoCrafter2's and Hummingbird's U-Nets, and T2V-Turbo's merged LoRA."""

from dataclasses import replace

import torch
from torch import Tensor

from rufous.checkpoints.lora import lora_targets, merge_lora_list
from rufous.core.types import Conditioning
from rufous.networks.unet3d import UNet3D, UNet3DConfig


def config_of(case) -> UNet3DConfig:
    """Published fields say nothing of a missing middle block (it is a forked class): the key list does."""
    config = UNet3DConfig.from_reference(case.info["config"])
    if any(name.startswith("middle_block.") for name in case.info["tensors"]):
        return config
    return replace(config, removed_blocks=frozenset({"middle_block"}))


def loaded_unet(case) -> UNet3D:
    unet = UNet3D(config_of(case)).eval()
    unet.load_state_dict(case.weights())
    return unet


@torch.inference_mode()
def output_of(unet: UNet3D, case) -> Tensor:
    inputs = case.inputs()
    cond = Conditioning(
        prompt_embeds=inputs["context"],
        fps=case.stored["fps"].float(),
        guidance_embeds=inputs.get("timestep_cond"),
    )
    return unet(inputs["sample"], case.stored["timestep"].float(), cond)


def test_a_unet_computes_what_the_published_one_does(unet_case, assert_close):
    assert_close(output_of(loaded_unet(unet_case), unet_case), unet_case.stored["output"])


def test_a_merged_lora_list_patches_the_layers_it_was_made_for(lora_case, assert_close):
    unet = loaded_unet(lora_case)
    assert_close(output_of(unet, lora_case), lora_case.stored["output_without_lora"])
    info = lora_case.info["lora"]
    tensors = [
        lora_case.tensor(f"lora.{i}", shape, gain=info["gain"]) for i, shape in enumerate(info["list_shapes"])
    ]
    merge_lora_list(unet, tensors)
    assert_close(output_of(unet, lora_case), lora_case.stored["output"])


def test_the_layers_of_a_lora_list_are_in_the_published_order(lora_case):
    names = [name for name, _ in lora_targets(UNet3D(config_of(lora_case)))]
    published = lora_case.info["lora"].get("targets_in_order")
    assert published is None or names == published


def test_a_full_size_unet_has_the_published_keys_and_shapes(unet_manifest):
    with torch.device("meta"):
        unet = UNet3D(config_of(unet_manifest))
    shapes = {name: list(tensor.shape) for name, tensor in unet.state_dict().items()}
    assert shapes == unet_manifest.info["tensors"]
    assert sum(tensor.numel() for tensor in unet.parameters()) == unet_manifest.info["parameters"]
