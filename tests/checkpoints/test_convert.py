import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rufous.checkpoints.convert import ConvertConfig, convert
from rufous.checkpoints.lora import merge_lora_list
from rufous.checkpoints.presets import HUMMINGBIRD_DIFFUSION, VIDEOCRAFTER2_DIFFUSION
from rufous.checkpoints.release import component_kinds, load_component, verify_release
from rufous.checkpoints.tensor_files import read_header
from rufous.core.errors import CheckpointError
from rufous.core.types import Conditioning
from rufous.networks.unet3d import UNet3D, UNet3DConfig
from tests.checkpoints.tiny_files import (
    TINY_TEXT,
    TINY_UNET,
    bare_list,
    randomize,
    save_module_of_lost_class,
    whole_checkpoint,
)

CONFIGS: dict[str, Any] = {"text_encoder": TINY_TEXT}
PLAIN = ConvertConfig(tokenizer="none")


def run(unet: nn.Module) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    latents = torch.randn(1, 4, 3, 8, 8, generator=generator)
    guidance = torch.randn(1, 24, generator=generator)
    prompt = torch.randn(1, 5, 32, generator=generator)
    cond = Conditioning(prompt_embeds=prompt, fps=torch.tensor([8.0]), guidance_embeds=guidance)
    with torch.no_grad():
        return unet(latents, torch.tensor([500.0]), cond)


def save_wrapped(layout: str, networks: dict[str, nn.Module], path: Path) -> Path:
    tensors = whole_checkpoint(networks)
    if layout == "state_dict":
        torch.save({"state_dict": tensors, "global_step": 3}, path)
    elif layout == "deepspeed":
        teacher = {f"teacher_model.{name}": torch.zeros(2) for name in ("a", "b")}
        module = {f"_forward_module.{name}": value for name, value in (tensors | teacher).items()}
        torch.save({"module": module, "optimizer": None, "dp_world_size": 8}, path)
    elif layout == "legacy":
        torch.save({"state_dict": tensors}, path, _use_new_zipfile_serialization=False)
    else:
        save_module_of_lost_class(tensors, path)
    return path


@pytest.mark.parametrize("layout", ["state_dict", "deepspeed", "legacy", "module"])
def test_every_published_wrapping_gives_the_same_networks(
    layout: str, networks: dict[str, nn.Module], tmp_path: Path
):
    path = save_wrapped(layout, networks, tmp_path / "model.ckpt")
    manifest = convert([path], tmp_path / "release", PLAIN, network_configs=CONFIGS)
    assert verify_release(tmp_path / "release") == manifest
    loaded = {name: load_component(tmp_path / "release", name) for name in networks}
    for name, network in networks.items():
        wanted = network.state_dict()
        assert all(torch.equal(value, wanted[key]) for key, value in loaded[name].state_dict().items())
    assert torch.equal(run(loaded["unet"]), run(networks["unet"]))
    assert load_component(tmp_path / "release", "scheduler") == HUMMINGBIRD_DIFFUSION


def test_the_lost_class_of_a_pickled_module_is_really_lost(networks: dict[str, nn.Module], tmp_path: Path):
    path = save_wrapped("module", networks, tmp_path / "07B_merged_all.pt")
    assert "lost_package" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        torch.load(path, weights_only=False)


def test_weights_are_stored_in_the_dtype_asked_for(networks: dict[str, nn.Module], tmp_path: Path):
    path = save_wrapped("state_dict", networks, tmp_path / "model.ckpt")
    config = ConvertConfig(tokenizer="none", dtype="bf16")
    convert([path], tmp_path / "release", config, network_configs=CONFIGS)
    assert {p.dtype for p in load_component(tmp_path / "release", "unet").parameters()} == {torch.bfloat16}


def test_in_8_bits_the_unet_is_half_as_large_and_the_autoencoder_stays_in_bf16(
    networks: dict[str, nn.Module], tmp_path: Path
):
    path = save_wrapped("state_dict", networks, tmp_path / "model.ckpt")
    sizes = {}
    for dtype in ("bf16", "int8"):
        config = ConvertConfig(tokenizer="none", dtype=dtype)
        convert([path], tmp_path / dtype, config, network_configs=CONFIGS)
        headers = {name: read_header(tmp_path / dtype / name / "model.safetensors") for name in networks}
        assert headers["unet"].num_parameters == sum(p.numel() for p in networks["unet"].parameters())
        sizes[dtype] = {
            name: sum(math.prod(header.shapes[key]) * header.dtypes[key].itemsize for key in header.shapes)
            for name, header in headers.items()
        }
    assert 0.5 < sizes["int8"]["unet"] / sizes["bf16"]["unet"] < 0.65
    assert sizes["int8"]["vae"] == sizes["bf16"]["vae"]
    unet = load_component(tmp_path / "int8", "unet", dtype=torch.bfloat16)
    assert {p.dtype for p in unet.parameters()} == {torch.bfloat16}


def test_the_manifest_names_the_source_but_no_path(networks: dict[str, nn.Module], tmp_path: Path):
    path = save_wrapped("deepspeed", networks, tmp_path / "model.ckpt")
    manifest = convert([path], tmp_path / "release", PLAIN, network_configs=CONFIGS)
    assert [(parent.name, len(parent.sha256 or "")) for parent in manifest.parents] == [("model.ckpt", 64)]
    assert str(tmp_path) not in manifest.text
    assert any("2 tensors of teacher_model" in note for note in manifest.notes)


def test_clip_tokenizer_files_are_part_of_the_release(
    networks: dict[str, nn.Module], tokenizer_folder: Path, tmp_path: Path
):
    path = save_wrapped("state_dict", networks, tmp_path / "model.ckpt")
    config = ConvertConfig(tokenizer=str(tokenizer_folder))
    manifest = convert([path], tmp_path / "release", config, network_configs=CONFIGS)
    ids, mask = load_component(tmp_path / "release", "tokenizer").encode(["ab"], 16)
    assert component_kinds(tmp_path / "release")["tokenizer"] == "clip_tokenizer"
    assert ids.shape == (1, 16)
    assert int(mask.sum()) == 4
    assert not any("no tokenizer" in note for note in manifest.notes)


def test_a_tokenizer_with_more_words_than_the_text_tower_is_refused(
    networks: dict[str, nn.Module], tokenizer_folder: Path, tmp_path: Path
):
    path = save_wrapped("state_dict", networks, tmp_path / "model.ckpt")
    vocabulary = tokenizer_folder / "vocab.json"
    vocabulary.write_text(json.dumps(json.loads(vocabulary.read_text()) | {"zz": 600}))
    config = ConvertConfig(tokenizer=str(tokenizer_folder))
    with pytest.raises(CheckpointError, match="ids up to 600"):
        convert([path], tmp_path / "release", config, network_configs=CONFIGS)
    assert not (tmp_path / "release").exists()


def test_a_lora_list_is_merged_over_a_checkpoint_without_guidance_embedding(
    networks: dict[str, nn.Module], tmp_path: Path
):
    plain = UNet3DConfig(**{**vars(TINY_UNET), "guidance_embed_dim": None})
    networks["unet"] = randomize(UNet3D(plain), 1)
    path = save_wrapped("state_dict", networks, tmp_path / "model.ckpt")
    merged = UNet3D(TINY_UNET)
    merged.load_state_dict(networks["unet"].state_dict(), strict=False)
    assert not merged.time_cond_proj.weight.any()
    entries = bare_list(merged)
    merge_lora_list(merged, entries)
    torch.save(entries, tmp_path / "unet_lora.pt")
    convert([path, tmp_path / "unet_lora.pt"], tmp_path / "release", PLAIN, network_configs=CONFIGS)
    loaded = load_component(tmp_path / "release", "unet").state_dict()
    torch.testing.assert_close(dict(loaded), dict(merged.state_dict()))
    assert loaded["time_cond_proj.weight"].any()
    assert load_component(tmp_path / "release", "scheduler").fps == 16.0


def test_a_bare_unet_takes_the_place_of_the_checkpoints(networks: dict[str, nn.Module], tmp_path: Path):
    path = save_wrapped("state_dict", networks, tmp_path / "model.ckpt")
    other = randomize(UNet3D(TINY_UNET), 9)
    torch.save(other.state_dict(), tmp_path / "unet_no_mg.pt")
    manifest = convert(
        [tmp_path / "unet_no_mg.pt", path], tmp_path / "release", PLAIN, network_configs=CONFIGS
    )
    assert torch.equal(run(load_component(tmp_path / "release", "unet")), run(other))
    assert any("unet_no_mg.pt in place of" in note for note in manifest.notes)


def test_a_bare_unet_alone_says_what_is_absent(networks: dict[str, nn.Module], tmp_path: Path):
    torch.save(networks["unet"].state_dict(), tmp_path / "unet.pt")
    manifest = convert([tmp_path / "unet.pt"], tmp_path / "release", PLAIN)
    assert {"no vae in the sources", "no text_encoder in the sources"} <= set(manifest.notes)


@pytest.mark.parametrize(
    ("layouts", "message"),
    [
        ([], "no U-Net was given"),
        (["lora"], "no U-Net was given"),
        (["whole", "whole"], "2 whole checkpoints were given"),
        (["whole", "lora", "lora"], "2 LoRA lists were given"),
    ],
)
def test_sources_that_contradict_each_other_are_refused(
    layouts: list[str], message: str, networks: dict[str, nn.Module], tmp_path: Path
):
    paths = []
    for i, layout in enumerate(layouts):
        path = tmp_path / f"{i}.pt"
        torch.save([torch.zeros(2)] if layout == "lora" else {"state_dict": whole_checkpoint(networks)}, path)
        paths.append(path)
    with pytest.raises(CheckpointError, match=message):
        convert(paths, tmp_path / "release", PLAIN, network_configs=CONFIGS)


def test_a_checkpoint_of_another_noise_schedule_is_refused(networks: dict[str, nn.Module], tmp_path: Path):
    tensors = whole_checkpoint(networks) | {"alphas_cumprod": torch.linspace(0.99, 0.01, 1000)}
    torch.save({"state_dict": tensors}, tmp_path / "model.ckpt")
    with pytest.raises(CheckpointError, match="another noise schedule"):
        convert([tmp_path / "model.ckpt"], tmp_path / "release", PLAIN, network_configs=CONFIGS)


def test_an_unknown_text_tower_asks_for_its_config(networks: dict[str, nn.Module], tmp_path: Path):
    path = save_wrapped("state_dict", networks, tmp_path / "model.ckpt")
    with pytest.raises(CheckpointError, match="pass its TextEncoderConfig"):
        convert([path], tmp_path / "release", PLAIN)


def test_a_network_without_guidance_embedding_is_sampled_as_the_teacher(
    networks: dict[str, nn.Module], tmp_path: Path
):
    plain = UNet3DConfig(**{**vars(TINY_UNET), "guidance_embed_dim": None})
    networks["unet"] = randomize(UNet3D(plain), 1)
    path = save_wrapped("state_dict", networks, tmp_path / "model.ckpt")
    convert([path], tmp_path / "release", PLAIN, network_configs=CONFIGS)
    assert load_component(tmp_path / "release", "scheduler") == VIDEOCRAFTER2_DIFFUSION


def test_a_release_is_overwritten_only_when_asked(networks: dict[str, nn.Module], tmp_path: Path):
    torch.save(networks["unet"].state_dict(), tmp_path / "unet.pt")
    convert([tmp_path / "unet.pt"], tmp_path / "release", PLAIN)
    with pytest.raises(CheckpointError, match="exists"):
        convert([tmp_path / "unet.pt"], tmp_path / "release", PLAIN)
    convert([tmp_path / "unet.pt"], tmp_path / "release", PLAIN, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["release", "unet.pt"]
