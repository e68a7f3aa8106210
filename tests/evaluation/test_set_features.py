"""Loading, pixels and names of the four networks; what the networks compute is tested where they are."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from rufous.core.errors import CheckpointError
from rufous.evaluation.set_features import (
    FEATURES,
    VIDEOGPT_I3D_FILE,
    i3d_features,
    load_features,
    videomae_features,
    vjepa_features,
    world_features,
)
from rufous.perception.i3d import I3D
from rufous.perception.video_transformers import VJEPA2, VideoMAE
from rufous.video.frames import from_uint8
from tests.perception.tiny_i3d import TINY_I3D, torchscript_names
from tests.perception.tiny_towers import randomize
from tests.perception.tiny_transformers import TINY_VIDEOMAE, TINY_VJEPA


def clip(num_frames=9, height=40, width=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (num_frames, 3, height, width), generator=generator, dtype=torch.uint8)


def resized(frames, height, width):
    return F.interpolate(frames, (height, width), mode="bilinear", align_corners=False)


@pytest.mark.parametrize("mode", ["squash", "crop"])
def test_i3d_reads_the_published_files_and_pixels(mode, tmp_path):
    network = randomize(I3D(TINY_I3D))
    torch.save(torchscript_names(network.state_dict()), tmp_path / "i3d.pt")
    features = i3d_features(tmp_path / "i3d.pt", resize_mode=mode, config=TINY_I3D)
    frames = from_uint8(clip())
    pixels = resized(frames, 224, 224) if mode == "squash" else resized(frames, 224, 336)[..., 56:280]
    with torch.no_grad():
        expected = network(pixels.transpose(0, 1)[None])
    torch.testing.assert_close(features.read([clip()]), expected)
    assert features.figure_name == "fvd"
    assert features.weights.startswith("i3d.pt sha256 ")
    assert ("middle" in features.resize) is (mode == "crop")


def test_i3d_takes_the_epsilon_of_each_files_code(tmp_path, monkeypatch):
    built = []

    class Tiny(I3D):
        def __init__(self, config):
            built.append(config.norm_eps)
            super().__init__(TINY_I3D)

    monkeypatch.setattr("rufous.evaluation.set_features.I3D", Tiny)
    tensors = I3D(TINY_I3D).state_dict()
    for name, content in {"own.pt": tensors, "script.pt": torchscript_names(tensors)}.items():
        torch.save(content, tmp_path / name)
        i3d_features(tmp_path / name)
    assert built == [1e-5, 1e-3]
    i3d_features(tmp_path / "own.pt", published=VIDEOGPT_I3D_FILE)
    with pytest.raises(
        CheckpointError, match=r"script\.pt is i3d_torchscript\.pt: this protocol needs i3d_pret"
    ):
        i3d_features(tmp_path / "script.pt", published=VIDEOGPT_I3D_FILE)


def test_a_torchscript_archive_of_i3d_is_read(tmp_path):
    class Scripted(torch.nn.Module):
        """Holds the tensors under the archive's names; its code is never run."""

        def __init__(self, tensors):
            super().__init__()
            for name, tensor in tensors.items():
                *path, last = name.split(".")
                parent = self
                for part in path:
                    if part not in parent._modules:
                        parent.add_module(part, torch.nn.Module())
                    parent = parent.get_submodule(part)
                parent.register_buffer(last, tensor)

    network = randomize(I3D(TINY_I3D))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(Scripted(torchscript_names(network.state_dict())))
        torch.jit.save(scripted, tmp_path / "i3d_torchscript.pt")
    features = i3d_features(tmp_path / "i3d_torchscript.pt", config=TINY_I3D)
    with torch.no_grad():
        expected = network(resized(from_uint8(clip()), 224, 224).transpose(0, 1)[None])
    torch.testing.assert_close(features.read([clip()]), expected)


def test_videomae_gets_pixels_from_0_to_1(tmp_path):
    network = randomize(VideoMAE(TINY_VIDEOMAE))
    attention = "model.encoder.layer.0.attention.attention"
    tensors = network.state_dict()
    published = {
        "patch_embed.proj.weight": tensors["model.embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": tensors["model.embeddings.patch_embeddings.projection.bias"],
        "blocks.0.attn.qkv.weight": torch.cat(
            [tensors[f"{attention}.{part}.weight"] for part in ("query", "key", "value")]
        ),
        "blocks.0.attn.q_bias": tensors[f"{attention}.query.bias"],
        "blocks.0.attn.v_bias": tensors[f"{attention}.value.bias"],
        "head.weight": torch.ones(3, 16),
        "head.bias": torch.ones(3),
        "fc_norm.weight": tensors["fc_norm.weight"],
        "fc_norm.bias": tensors["fc_norm.bias"],
    }
    for theirs, ours in {
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "attn.proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }.items():
        for last in ("weight", "bias"):
            published[f"blocks.0.{theirs}.{last}"] = tensors[f"model.encoder.layer.0.{ours}.{last}"]
    torch.save({"module": published}, tmp_path / "mae.pth")
    features = videomae_features(tmp_path / "mae.pth", config=TINY_VIDEOMAE)
    frames = clip(4)
    with torch.no_grad():
        expected = network(resized(frames.float() / 255, 32, 32)[None])
    torch.testing.assert_close(features.read([frames]), expected)
    assert (features.figure_name, features.ddof, features.takes_more_frames) == ("fvd_videomae", 0, False)


def test_v_jepa_gets_its_own_scale_and_the_middle(tmp_path):
    network = randomize(VJEPA2(TINY_VJEPA))
    save_file(network.model.state_dict(), tmp_path / "model.safetensors")
    features = vjepa_features(tmp_path / "model.safetensors", config=TINY_VJEPA)
    frames = clip(4, 36, 36)  # 32 * 256 / 224, so only the middle is cut
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = (frames[..., 2:34, 2:34].float() / 255 - mean.reshape(3, 1, 1)) / std.reshape(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(features.read([frames]), network(pixels[None]))
    assert (features.figure, features.figure_name, features.status) == ("jedi", "jedi_vjepa2", "unverified")


def test_world_features_are_unit_vectors_of_clips_of_any_sizes():
    features = world_features()
    clips = [clip(4, 64, 64), clip(4, 32, 32, seed=1), clip(4, 64, 64, seed=2)]
    together = features.read(clips)
    assert together.shape == (3, 128)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    for row, each in zip(together, clips, strict=True):
        torch.testing.assert_close(row, features.read([each])[0], rtol=1e-4, atol=1e-5)
    assert features.weights.startswith("world-video-text ")


@pytest.mark.parametrize(
    ("name", "file", "address"),
    [
        ("i3d", "i3d_torchscript.pt", "https://www.dropbox.com/"),
        ("videomae", "vit_g_hybrid_pt_1200e_ssv2_ft.pth", "https://huggingface.co/OpenGVLab/"),
        ("vjepa", "model.safetensors", "https://huggingface.co/facebook/vjepa2"),
    ],
)
def test_missing_weights_are_one_error_with_file_places_and_address(
    name, file, address, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *args, **kwargs: None)
    with pytest.raises(CheckpointError) as error:
        load_features(name)
    message = str(error.value)
    assert f"{file} is missing: looked for {tmp_path}/.cache/rufous/weights/" in message
    assert f"Get it from {address}" in message


def test_every_network_has_a_name_and_others_are_refused():
    assert list(FEATURES) == ["i3d", "videomae", "vjepa", "world"]
    with pytest.raises(ValueError, match="no features 'clip': use i3d"):
        load_features("clip")
