import numpy as np
import torch

from rufous.checkpoints.release import load_component
from rufous.recipes.world_clips import render_clips
from rufous.recipes.world_latents import encode_clips
from rufous.video.frames import from_uint8


def test_latents_are_what_the_autoencoder_gives(road):
    encoded = encode_clips(road.latents, road.root / "latents", torch.device("cpu"))
    assert encoded.latents.shape == (8, 4, 4, 8, 8)
    clips = render_clips(road.clips, road.root / "clips")
    autoencoder = load_component(road.latents.autoencoder, "autoencoder", dtype=torch.float32)
    pixels = from_uint8(torch.from_numpy(clips.frames[2].copy())).transpose(0, 1)[None]
    with torch.no_grad():
        expected = autoencoder.encode_video(pixels)[0]
    difference = np.linalg.norm(encoded.latents[2] - expected.numpy()) / np.linalg.norm(expected.numpy())
    assert difference < 0.03  # encoded in bf16 where the machine has it


def test_latents_are_encoded_anew_when_the_autoencoder_changes(road, tmp_path):
    import shutil
    from dataclasses import replace

    copy = tmp_path / "release"
    shutil.copytree(road.latents.autoencoder, copy)
    config = replace(road.latents, autoencoder=str(copy))
    encode_clips(config, tmp_path / "latents", torch.device("cpu"))
    before = (tmp_path / "latents" / "latents.npy").stat().st_mtime_ns
    encode_clips(config, tmp_path / "latents", torch.device("cpu"))
    assert (tmp_path / "latents" / "latents.npy").stat().st_mtime_ns == before
    from safetensors.torch import load_file, save_file

    path = copy / "autoencoder" / "model.safetensors"
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file({name: tensor * 1.01 for name, tensor in load_file(path).items()}, path, metadata=metadata)
    encode_clips(config, tmp_path / "latents", torch.device("cpu"))
    assert (tmp_path / "latents" / "latents.npy").stat().st_mtime_ns != before
