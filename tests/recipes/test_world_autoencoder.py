from dataclasses import replace

import numpy as np
import pytest
import torch

from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component, verify_release
from rufous.core.errors import ConfigError
from rufous.recipes import RECIPES
from rufous.recipes.world_autoencoder import FramePairs, held_out_frames
from rufous.recipes.world_clips import render_clips

CPU = torch.device("cpu")


def test_pairs_are_two_frames_of_one_clip_of_either_level(road):
    sources = (
        render_clips(road.clips, road.root / "clips"),
        render_clips(road.autoencoder.clips[1], road.root / "clips_full"),
    )
    pairs = FramePairs(sources, repeats=2)
    assert len(pairs) == 32
    assert torch.equal(pairs[31], pairs[31])
    for index, (source, clip) in {5: (0, 2), 31: (1, 7)}.items():
        frames = sources[source].frames[clip]
        assert all(any(np.array_equal(one.numpy(), frame) for frame in frames) for one in pairs[index])


def test_the_release_scales_latents_to_unit_deviation(road):
    folder = road.root / "autoencoder" / "release"
    verify_release(folder)
    autoencoder = load_component(folder, "autoencoder", dtype=torch.float32)
    with torch.no_grad():
        latents = autoencoder.encode_video(held_out_frames(32, CPU).transpose(0, 1)[None])
    assert abs(float(latents.mean())) < 0.02
    assert abs(float(latents.std()) - 1) < 0.02
    assert "psnr_held_out" in Manifest.load(folder).figures


def test_sharpening_the_decoder_leaves_latents_alone(road, tmp_path):
    before = road.root / "autoencoder" / "release"
    config = replace(road.autoencoder, init_from=str(before), train_encoder=False)
    after = RECIPES["world_autoencoder"].run(config, tmp_path, CPU)
    old, new = (load_component(folder, "autoencoder", dtype=torch.float32) for folder in (before, after))
    pixels = held_out_frames(32, CPU)[:4].transpose(0, 1)[None]
    assert torch.equal(old.encode_video(pixels), new.encode_video(pixels))
    assert not torch.equal(old.decoder.conv_out.weight, new.decoder.conv_out.weight)


def test_every_kind_of_clips_needs_its_folder(road):
    with pytest.raises(ConfigError, match="2 clips need as many clips_dirs, not 1"):
        replace(road.autoencoder, clips_dirs=("a",))


def test_a_run_can_start_from_released_weights(road, tmp_path):
    from rufous.recipes.world_autoencoder import _initial_network

    folder = road.root / "autoencoder" / "release"
    network = _initial_network(replace(road.autoencoder, init_from=str(folder)))
    released = load_component(folder, "autoencoder", dtype=torch.float32)
    assert torch.equal(network.quant_conv.weight, released.quant_conv.weight)
