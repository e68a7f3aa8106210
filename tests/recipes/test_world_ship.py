import json
from dataclasses import replace

import pytest
import torch

from rufous.checkpoints.manifest import Manifest, Parent
from rufous.checkpoints.release import load_component, load_config, save_release, verify_release
from rufous.core.errors import ConfigError
from rufous.recipes import RECIPES
from rufous.recipes.world_ship import WorldShipConfig

CPU = torch.device("cpu")


def ship(road, tmp_path, **truth):
    source = road.root / "teacher" / "release"
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"manifest_id": Manifest.load(source).id, "seen": 1, "held_out": 2, **truth}))
    config = WorldShipConfig(
        source=str(source), target=str(tmp_path / "shipped"), truth=str(path), notes=("a toy",)
    )
    return source, RECIPES["world_ship"].run(config, tmp_path, CPU)


def test_the_shipped_release_has_its_truth_and_nearly_the_same_weights(road, tmp_path):
    source, target = ship(road, tmp_path)
    manifest = verify_release(target)
    assert manifest.figures["truth"] == {"seen": 1, "held_out": 2}
    assert manifest.notes == ("a toy",)
    assert manifest.parents == Manifest.load(source).parents
    old = load_component(source, "unet", dtype=torch.float32)
    new = load_component(target, "unet")
    weight, stored = (each.time_embed[0].weight.detach() for each in (old, new))
    assert float((stored - weight).norm() / weight.norm()) == pytest.approx(0.005, abs=0.003)  # 8 bits
    kept = load_component(target, "autoencoder").decoder.conv_in.weight
    whole = load_component(source, "autoencoder", dtype=torch.float32).decoder.conv_in.weight
    assert torch.equal(kept, whole.bfloat16())
    sizes = {name: (target / name / "model.safetensors").stat().st_size for name in ("unet", "autoencoder")}
    assert sizes["unet"] < 1.5 * sum(parameter.numel() for parameter in new.parameters())


def test_a_parent_that_ships_too_is_named_by_its_copy(road, tmp_path):
    words = road.root / "video_text" / "release"
    copied = WorldShipConfig(source=str(words), target=str(tmp_path / "world-video-text"))
    RECIPES["world_ship"].run(copied, tmp_path, CPU)
    _, target = ship(road, tmp_path)
    parents = {parent.role: parent.manifest_id for parent in Manifest.load(target).parents}
    assert parents["text_encoder"] == Manifest.load(tmp_path / "world-video-text").id
    assert parents["text_encoder"] != Manifest.load(words).id
    assert parents["autoencoder"] == Manifest.load(road.latents.autoencoder).id


def test_truth_of_another_release_is_refused(road, tmp_path):
    with pytest.raises(ConfigError, match="judged release other"):
        ship(road, tmp_path, manifest_id="other")
    assert not (tmp_path / "shipped").exists()


def test_a_copy_may_sample_otherwise_and_be_judged_in_its_place(road, tmp_path):
    source, target = road.root / "teacher" / "release", tmp_path / "shipped"
    config = WorldShipConfig(source=str(source), target=str(target), solver="ddim", guidance_scale=1.5)
    RECIPES["world_ship"].run(config, tmp_path, CPU)
    sampling, usual = (load_config(folder, "diffusion").sampling for folder in (target, source))
    assert (sampling.solver, sampling.guidance_scale) == ("ddim", 1.5)
    assert replace(sampling, solver=usual.solver, guidance_scale=usual.guidance_scale) == usual
    truth = {"manifest_id": Manifest.load(target).id, "seen": 3, "held_out": 4}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    RECIPES["world_ship"].run(replace(config, truth=str(tmp_path / "truth.json")), tmp_path, CPU)
    assert verify_release(target).figures["truth"] == {"seen": 3, "held_out": 4}


@pytest.mark.parametrize("judged", [{"solver": "lcm"}, {"num_inference_steps": 50}, {"guidance_scale": 2.0}])
def test_truth_of_clips_that_were_sampled_otherwise_is_refused(road, tmp_path, judged):
    with pytest.raises(ConfigError, match="sampled otherwise"):
        ship(road, tmp_path, config=judged)
    assert not (tmp_path / "shipped").exists()


def test_truth_of_the_source_is_none_of_a_copy_that_samples_otherwise(road, tmp_path):
    source = road.root / "teacher" / "release"
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"manifest_id": Manifest.load(source).id, "seen": 1, "held_out": 2}))
    config = WorldShipConfig(
        source=str(source), target=str(tmp_path / "shipped"), truth=str(path), guidance_scale=1.5
    )
    with pytest.raises(ConfigError, match="sampled otherwise"):
        RECIPES["world_ship"].run(config, tmp_path, CPU)


def test_a_parent_without_an_id_keeps_its_name(road, tmp_path):
    source = tmp_path / "source"
    kept = Manifest.load(road.root / "teacher" / "release")
    file = Parent(name="world-video-text", sha256="0" * 64, role="text_encoder")
    parts = {name: road.root / "teacher" / "release" / name for name in ("unet", "diffusion")}
    save_release(source, parts, replace(kept, parents=(file,)))
    save_release(tmp_path / "world-video-text", parts, kept)  # a release, and a copy of nothing
    config = WorldShipConfig(source=str(source), target=str(tmp_path / "shipped"))
    RECIPES["world_ship"].run(config, tmp_path, CPU)
    assert Manifest.load(tmp_path / "shipped").parents == (file,)
