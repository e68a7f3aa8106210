import torch

from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component, verify_release
from rufous.recipes.world_autoencoder import WorldFrames, to_pixels


def test_frames_are_deterministic_pairs_in_range():
    frames = WorldFrames(3, 32)
    assert torch.equal(frames[4], frames[4])
    pixels = to_pixels([frames[0], frames[1]], torch.device("cpu"))
    assert pixels.shape == (4, 3, 32, 32)
    assert pixels.abs().max() <= 1


def test_the_release_scales_latents_to_unit_deviation(road):
    folder = road.root / "autoencoder" / "release"
    verify_release(folder)
    autoencoder = load_component(folder, "autoencoder", dtype=torch.float32)
    frames = WorldFrames(9_001, 32)
    pixels = to_pixels([frames[i] for i in range(64)], torch.device("cpu"))
    latents = autoencoder.encode_video(pixels.transpose(0, 1)[None])
    assert abs(float(latents.mean())) < 0.02
    assert abs(float(latents.std()) - 1) < 0.02
    assert "psnr_held_out" in Manifest.load(folder).figures


def test_a_run_can_start_from_released_weights(road, tmp_path):
    from dataclasses import replace

    from rufous.recipes.world_autoencoder import _initial_network

    folder = road.root / "autoencoder" / "release"
    network = _initial_network(replace(road.autoencoder, init_from=str(folder)))
    released = load_component(folder, "autoencoder", dtype=torch.float32)
    assert torch.equal(network.quant_conv.weight, released.quant_conv.weight)
