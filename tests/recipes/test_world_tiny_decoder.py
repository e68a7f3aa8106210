import json
from dataclasses import replace

import numpy as np
import torch

from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component, load_config, verify_release
from rufous.recipes import RECIPES
from rufous.recipes.world_clips import render_clips
from rufous.recipes.world_latents import encode_clips
from rufous.recipes.world_tiny_decoder import LatentPairs, WorldTinyDecoderConfig, collate, held_out_clips
from tests.recipes.conftest import brief

CPU = torch.device("cpu")


def toy(road):
    return WorldTinyDecoderConfig(
        latents=road.latents,
        latents_dir=str(road.root / "latents"),
        width=8,
        blocks_per_stage=1,
        batch_size=8,
        num_validation_clips=2,
        train=brief(3),
    )


def test_the_release_decodes_the_autoencoders_latents(road, tmp_path):
    config = toy(road)
    folder = RECIPES["world_tiny_decoder"].run(config, tmp_path, CPU)
    verify_release(folder)
    source = road.latents.autoencoder
    manifest = Manifest.load(folder)
    assert [parent.manifest_id for parent in manifest.parents] == [Manifest.load(source).id]
    decoder, full = load_component(folder, "tiny_decoder"), load_config(source, "autoencoder")
    assert decoder.config.vae_scale_factor_spatial == full.vae_scale_factor_spatial
    assert {"psnr_to_full", "psnr_to_real", "flicker_to_full", "ms_per_clip"} <= set(manifest.figures)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert any("flicker_to_real" in row and "full_ms_per_clip" in row for row in rows)
    assert "psnr_to_full" in rows[0]


def test_latents_and_pixels_of_a_pair_are_of_the_same_frames(road):
    clips = render_clips(road.clips, road.root / "clips")
    encoded = encode_clips(road.latents, road.root / "latents", CPU)
    pairs = LatentPairs(clips, encoded, repeats=4)
    assert len(pairs) == 32
    moving = [(clip[1:] != clip[:-1]).any(axis=(1, 2, 3)).all() for clip in clips.frames].index(True)
    latents, pixels = pairs[4 * moving + 1]
    frames = [np.array_equal(pixels[1].numpy(), frame) for frame in clips.frames[moving]]
    assert sum(frames) == 1
    expected = torch.from_numpy(encoded.latents[moving][:, frames.index(True)].astype(np.float32))
    assert torch.equal(latents[1], expected)
    batch = collate([pairs[0], pairs[31]], CPU)
    assert len(batch) == 4
    assert batch.pixels.min() >= -1


def test_held_out_clips_are_of_another_seed(road):
    held_out = held_out_clips(replace(road.clips, num_frames=3), 2, CPU)
    assert held_out.shape == (2, 3, 3, 32, 32)
    trained_on = replace(road.clips, num_frames=3).clips[0].frames
    assert not torch.equal((held_out[0].transpose(0, 1) * 127.5 + 127.5).round().byte(), trained_on)
