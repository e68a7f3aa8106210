import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rufous.checkpoints.from_videocrafter import (
    check_schedule,
    describe_unet,
    infer_text_config,
    infer_unet_config,
    infer_vae_config,
    split_checkpoint,
)
from rufous.checkpoints.kinds import shapes_of
from rufous.core.errors import CheckpointError
from rufous.diffusion.schedules import ScheduleConfig, VPSchedule
from rufous.networks.text_encoders import OPENCLIP_VIT_H_14
from rufous.networks.unet3d import UNet3DConfig
from rufous.networks.vae2d import SD_KL_F8
from tests.checkpoints.tiny_files import TINY_UNET, TINY_VAE, whole_checkpoint

CASES = Path(__file__).parents[1] / "reference" / "cases"


def meta(shapes: dict[str, Any]) -> dict[str, Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("case", "described"),
    [
        ("videocrafter2", "VideoCrafter2"),
        ("hummingbird_0.9b", "Hummingbird 0.9B with guidance embedding"),
        ("hummingbird_0.7b", "Hummingbird 0.7B with guidance embedding"),
    ],
)
def test_full_size_unets_are_recognised_by_names_and_shapes(case: str, described: str):
    manifest = json.loads((CASES / f"manifest_{case}_unet.json").read_text())
    config = infer_unet_config(meta(manifest["tensors"]), where=case)
    published = UNet3DConfig.from_reference(manifest["config"])
    # the published code of the 0.7B network leaves the middle block out, its config file does not say so
    removed = frozenset({"middle_block"}) if "0.7b" in case else frozenset[str]()
    assert config == replace(published, gradient_checkpointing=False, removed_blocks=removed)
    assert describe_unet(config) == described


@pytest.mark.parametrize(
    "config",
    [
        TINY_UNET,
        replace(TINY_UNET, guidance_embed_dim=None),
        replace(TINY_UNET, motion_embed_dim=8),
        replace(TINY_UNET, removed_blocks=frozenset({"middle_block"})),
        replace(TINY_UNET, channel_mult=(1, 2, 2), num_res_blocks=2, attention_resolutions=(4, 1)),
        replace(TINY_UNET, fps_conditioning=False, in_channels=8),
    ],
)
def test_unet_configs_are_read_off_shapes(config: UNet3DConfig):
    assert infer_unet_config(meta(shapes_of(config)), where="x") == config


def test_an_unexpected_unet_weight_is_named():
    tensors = meta(shapes_of(TINY_UNET)) | meta({"motion_proj.weight": (32, 64)})
    with pytest.raises(CheckpointError, match=r"unexpected motion_proj\.weight"):
        infer_unet_config(tensors, where="x")


def test_no_unet_at_all_is_one_clear_error():
    with pytest.raises(CheckpointError, match="is no U-Net of VideoCrafter's family"):
        infer_unet_config(meta({"conv.weight": (2, 2)}), where="x")


@pytest.mark.parametrize("config", [TINY_VAE, SD_KL_F8])
def test_autoencoder_configs_are_read_off_shapes(config: Any):
    assert infer_vae_config(meta(shapes_of(config)), where="x") == config


def test_the_published_text_tower_is_recognised():
    tensors = meta(shapes_of(OPENCLIP_VIT_H_14))
    assert infer_text_config(tensors, where="x") == OPENCLIP_VIT_H_14
    assert sum(tensor.numel() for tensor in tensors.values()) == 354_032_641 - 1  # without logit_scale


def test_a_checkpoint_is_taken_apart_and_what_is_dropped_is_listed(networks: dict[str, nn.Module]):
    tensors = whole_checkpoint(networks) | {"teacher_model.out.weight": torch.zeros(1)}
    parts = split_checkpoint(tensors, where="model.ckpt")
    assert parts.unet.keys() == networks["unet"].state_dict().keys()
    assert parts.vae.keys() == networks["vae"].state_dict().keys()
    assert parts.text_encoder.keys() == networks["text_encoder"].state_dict().keys()
    assert set(parts.schedule) == {"betas", "alphas_cumprod", "scale_arr"}
    text = "cond_stage_model.model."
    assert set(parts.dropped) == {f"{text}logit_scale", f"{text}attn_mask", "teacher_model.out.weight"}


def test_names_that_belong_nowhere_are_refused(networks: dict[str, nn.Module]):
    tensors = whole_checkpoint(networks) | {"model_ema.decay": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"belong to no component: model_ema\.decay"):
        split_checkpoint(tensors, where="model.ckpt")
    with pytest.raises(CheckpointError, match="holds no U-Net"):
        split_checkpoint({"first_stage_model.conv.weight": torch.zeros(1)}, where="vae.ckpt")


def test_schedule_tables_are_compared_also_in_half_precision():
    schedule = ScheduleConfig()
    table = VPSchedule(schedule).alpha(torch.arange(1000.0)).square()
    check_schedule({"alphas_cumprod": table}, schedule, where="x")
    check_schedule({"alphas_cumprod": table.half()}, schedule, where="x")
    check_schedule({}, schedule, where="x")
    with pytest.raises(CheckpointError, match="another noise schedule"):
        check_schedule({"alphas_cumprod": table}, replace(schedule, kind="linear"), where="x")
    with pytest.raises(CheckpointError, match="500 steps"):
        check_schedule({"alphas_cumprod": table[:500]}, schedule, where="x")
