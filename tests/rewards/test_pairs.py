from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from rufous.checkpoints.published import PublishedFile
from rufous.core.errors import CheckpointError
from rufous.perception.clip import CLIP
from rufous.perception.viclip import ViCLIP
from rufous.rewards.pairs import load_clip, load_viclip
from tests.perception.tiny_towers import (
    TINY_CLIP,
    TINY_VICLIP,
    frames,
    openclip_tensors,
    randomize,
)

FILE = PublishedFile(hub_id="someone/tiny", file="weights.pt")


def test_a_file_of_transformers_loads_strictly(tmp_path):
    network, path = randomize(CLIP(TINY_CLIP)), tmp_path / "model.safetensors"
    save_file({name: tensor.half() for name, tensor in network.model.state_dict().items()}, path)
    loaded = load_clip(TINY_CLIP, FILE, path)
    assert loaded.model.logit_scale.dtype == torch.float32
    torch.testing.assert_close(
        loaded.encode_image(frames()), network.encode_image(frames()), rtol=0, atol=0.01
    )


def test_a_pickled_file_of_openclip_loads_strictly(tmp_path):
    single = randomize(ViCLIP(replace(TINY_VICLIP, num_frames=1)))
    with torch.no_grad():
        single.vision_encoder.temporal_positional_embedding.zero_()
    path = tmp_path / "HPS_tiny.pt"
    torch.save({"epoch": 3, "name": "tiny", "state_dict": openclip_tensors(single)}, path)
    loaded = load_clip(TINY_CLIP, FILE, path)
    torch.testing.assert_close(
        loaded.encode_image(frames()), single.encode_video(frames().unsqueeze(2)), rtol=1e-4, atol=1e-5
    )


def test_a_published_viclip_loads_strictly(tmp_path):
    network, path = randomize(ViCLIP(TINY_VICLIP)), tmp_path / "viclip.pth"
    torch.save({"model": {**network.state_dict(), "temp": torch.tensor(0.01)}}, path)
    loaded = load_viclip(TINY_VICLIP, FILE, path)
    video = frames(4).unsqueeze(0).transpose(1, 2)
    torch.testing.assert_close(loaded.encode_video(video), network.encode_video(video))


def test_weights_of_another_size_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(CLIP(TINY_CLIP).model.state_dict(), path)
    with pytest.raises(CheckpointError, match="does not fit its config"):
        load_clip(replace(TINY_CLIP, layers=3), FILE, path)
