import warnings
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from rufous.core.errors import CheckpointError
from rufous.evaluation import backbones
from rufous.perception.aesthetic import AestheticHead
from rufous.perception.amt import AMT, AMTConfig
from rufous.perception.clip import CLIP
from rufous.perception.dino import DINO, DINOConfig
from rufous.perception.musiq import MUSIQ, MUSIQConfig
from rufous.perception.raft import RAFT, RAFTConfig
from rufous.perception.umt import UMT, UMTConfig
from rufous.perception.viclip import ViCLIP
from tests.perception.tiny_towers import TINY_CLIP, TINY_VICLIP, frames, openclip_tensors, randomize

TINY_RAFT = RAFTConfig(encoder_widths=(8, 8, 8), feature_dim=8, hidden_dim=8, corr_levels=1, corr_radius=1)
TINY_AMT = AMTConfig(corr_levels=2, corr_radius=1, channels=(4, 6, 8, 10), skip_channels=4)
TINY_MUSIQ = MUSIQConfig(patch_size=8, hidden_size=12, mlp_dim=16, num_heads=2, num_layers=2)
TINY_UMT = UMTConfig(img_size=16, patch_size=8, all_frames=4, embed_dim=12, depth=2, num_heads=2)
TINY_DINO = DINOConfig(img_size=24, patch_size=8, embed_dim=12, depth=2, num_heads=2)


def assert_same(loaded: nn.Module, network: nn.Module) -> None:
    """Equal weights, real, frozen, in evaluation mode."""
    ours, theirs = loaded.state_dict(), network.state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=0)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_raft_loads_from_a_file_of_wrapped_names(tmp_path):
    network, path = randomize(RAFT(TINY_RAFT)), tmp_path / "raft-things.pth"
    torch.save({f"module.{name}": tensor for name, tensor in network.state_dict().items()}, path)
    assert_same(backbones.load_raft(path, config=TINY_RAFT), network)


def test_amt_loads_from_under_its_key(tmp_path):
    network, path = randomize(AMT(TINY_AMT)), tmp_path / "amt-s.pth"
    torch.save({"state_dict": network.state_dict(), "epoch": 300}, path)
    assert_same(backbones.load_amt(path, config=TINY_AMT), network)


def test_musiq_loads_from_a_plain_file(tmp_path):
    network, path = randomize(MUSIQ(TINY_MUSIQ)), tmp_path / "musiq.pth"
    torch.save(network.state_dict(), path)
    assert_same(backbones.load_musiq(path, config=TINY_MUSIQ), network)


def test_clip_without_its_text_tower_sees_the_same_in_less_memory(tmp_path):
    network = randomize(CLIP(TINY_CLIP))
    save_file(network.model.state_dict(), tmp_path / "model.safetensors")
    whole, seeing = (
        backbones.load_clip("clip_b_32", tmp_path, config=TINY_CLIP, with_text=with_text)
        for with_text in (True, False)
    )
    assert torch.equal(whole.encode_image(frames()), seeing.encode_image(frames()))
    text = ("model.text_model.", "model.text_projection.")
    assert set(seeing.state_dict()) == {name for name in whole.state_dict() if not name.startswith(text)}


def test_dino_loads_from_a_plain_file(tmp_path):
    network, path = randomize(DINO(TINY_DINO)), tmp_path / "dino.pth"
    torch.save(network.state_dict(), path)
    assert_same(backbones.load_dino(path, config=TINY_DINO), network)


def test_umt_loads_with_and_without_positions_in_the_file(tmp_path):
    network, path = UMT(TINY_UMT), tmp_path / "umt.pth"
    torch.save(network.state_dict(), path)
    assert_same(backbones.load_umt(path, config=TINY_UMT), network)
    torch.save({name: value for name, value in network.state_dict().items() if name != "pos_embed"}, path)
    assert_same(backbones.load_umt(path, config=TINY_UMT), network)


def test_viclip_loads_from_under_its_key(tmp_path):
    network, path = randomize(ViCLIP(TINY_VICLIP)), tmp_path / "viclip.pth"
    torch.save({"model": {**network.state_dict(), "temp": torch.tensor(0.01)}}, path)
    assert_same(backbones.load_viclip(path, config=TINY_VICLIP), network)


def test_the_aesthetic_head_loads_from_a_linear_layers_file(tmp_path):
    path = tmp_path / "head.pth"
    torch.save(nn.Linear(12, 1).state_dict(), path)
    loaded = backbones.load_aesthetic_head(path, embed_dim=12)
    head = AestheticHead(12)
    head.load_state_dict(torch.load(path))
    assert_same(loaded, head)


class _Tensors(nn.Module):
    """Modules that hold tensors under given names; a program for TorchScript to keep beside them."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            *path, last = name.split(".")
            place: nn.Module = self
            for part in path:
                if not hasattr(place, part):
                    place.add_module(part, nn.Module())
                place = getattr(place, part)
            place.register_buffer(last, tensor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


def save_script(tensors: dict[str, torch.Tensor], path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(_Tensors(tensors), torch.zeros(1), check_trace=False), str(path))


def openai_tensors() -> tuple[dict[str, torch.Tensor], ViCLIP]:
    single = randomize(ViCLIP(replace(TINY_VICLIP, num_frames=1)))
    with torch.no_grad():
        single.vision_encoder.temporal_positional_embedding.zero_()
    tensors = {name: value.detach() for name, value in openclip_tensors(single).items()}
    sizes = {"input_resolution": 32, "context_length": 8, "vocab_size": 12}
    return {**tensors, **{name: torch.tensor(value) for name, value in sizes.items()}}, single


def test_openais_clip_loads_from_a_torchscript_file_that_is_not_run(tmp_path):
    path = tmp_path / "ViT-B-32.pt"
    tensors, single = openai_tensors()
    save_script({name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}, path)
    loaded = backbones.load_clip("clip_b_32", path, config=TINY_CLIP)
    assert loaded.model.logit_scale.dtype == torch.float32
    expected = single.encode_video(frames().unsqueeze(2))
    torch.testing.assert_close(loaded.encode_image(frames()), expected, rtol=0, atol=0.01)


def test_a_folder_of_transformers_does_as_well(tmp_path):
    network = randomize(CLIP(TINY_CLIP))
    save_file(network.model.state_dict(), tmp_path / "model.safetensors")
    assert_same(backbones.load_clip("clip_l_14", tmp_path, config=TINY_CLIP), network)


def test_labels_come_from_a_file_and_are_never_invented(tmp_path, monkeypatch):
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"kinetics_400_categories\.txt is missing"):
        backbones.load_action_labels()
    path = tmp_path / "umt_model" / "kinetics_400_categories.txt"
    path.parent.mkdir()
    path.write_text("".join(f"action {i}\t{i}\n" for i in range(400)))
    assert backbones.load_action_labels()[399] == "action 399"


def test_weights_of_another_network_are_refused_with_what_differs(tmp_path):
    path = tmp_path / "dino.pth"
    torch.save(DINO(TINY_DINO).state_dict(), path)
    with pytest.raises(CheckpointError, match=r"dino\.pth does not fit its config: 12 missing"):
        backbones.load_dino(path, config=replace(TINY_DINO, depth=3))
    with pytest.raises(CheckpointError, match="does not fit its config"):
        backbones.load_amt(path, config=TINY_AMT)


@pytest.mark.parametrize("load", [backbones.load_raft, backbones.load_amt, backbones.load_musiq])
def test_a_missing_file_is_one_error(load, tmp_path, monkeypatch):
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"is missing: looked for .* get .*https://"):
        load()
