"""Files that are missing are one error with their addresses; those that are there load strictly."""

from pathlib import Path

import pytest
import torch

from rufous.core.errors import CheckpointError, ConfigError
from rufous.data import published_models
from rufous.data.published_models import (
    find_aesthetic_head,
    find_clip,
    load_aesthetic_head,
    load_clip,
    load_clip_tokenizer,
    load_dover,
)
from tests.data.tiny_weights import EMBED_DIM, write_clip, write_dover, write_head
from tests.perception.tiny_dover import TINY_DOVER
from tests.perception.tiny_towers import TEXT, TINY_CLIP, TOKENIZER, frames


@pytest.fixture
def empty_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path / "vbench"))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    return tmp_path


def test_a_missing_clip_is_one_error_with_both_addresses(empty_home):
    with pytest.raises(CheckpointError) as error:
        find_clip()
    for told in (
        "ViT-L-14.pt",
        "openaipublic",
        "As good: model.safetensors is missing",
        "hf download openai/clip",
    ):
        assert told in str(error.value)
    with pytest.raises(CheckpointError, match=r"looked for .*elsewhere"):
        find_clip(empty_home / "elsewhere")


@pytest.mark.parametrize(
    ("find", "told"),
    [
        (
            lambda: find_aesthetic_head("mlp"),
            r"sac\+logos\+ava1-l14-linearMSE.pth is missing: .*Get it from https",
        ),
        (lambda: find_aesthetic_head("linear"), "sa_0_4_vit_l_14_linear.pth is missing: .*get https"),
        (load_dover, "DOVER.pth is missing: .*releases/download/v0.1.0/DOVER.pth"),
    ],
)
def test_other_missing_files_name_their_address(empty_home, find, told):
    with pytest.raises(CheckpointError, match=told):
        find()


def test_files_are_found_where_they_are_kept(empty_home):
    cache = empty_home / ".cache" / "rufous" / "weights"
    for folder, file in (
        ("improved-aesthetic-predictor", "sac+logos+ava1-l14-linearMSE.pth"),
        ("clip-vit-large-patch14", "model.safetensors"),
    ):
        (cache / folder).mkdir(parents=True)
        (cache / folder / file).write_bytes(b"x")
    assert (
        find_aesthetic_head("mlp")
        == cache / "improved-aesthetic-predictor" / "sac+logos+ava1-l14-linearMSE.pth"
    )
    assert find_clip() == cache / "clip-vit-large-patch14" / "model.safetensors"


def test_networks_load_strictly_and_frozen(tmp_path):
    clip = load_clip(write_clip(tmp_path), config=TINY_CLIP)
    assert clip.encode_image(frames()).shape == (3, EMBED_DIM)
    embeddings = torch.rand(2, EMBED_DIM)
    for kind in ("mlp", "linear"):
        file = write_head(tmp_path / f"{kind}.pth", is_mlp=kind == "mlp")
        assert load_aesthetic_head(kind, file, embed_dim=EMBED_DIM)(embeddings).shape == (2,)
    dover = load_dover(write_dover(tmp_path / "DOVER.pth"), config=TINY_DOVER)
    assert not any(parameter.requires_grad for network in (clip, dover) for parameter in network.parameters())
    assert dover.technical_backbone.layers[0].blocks[0].attn.relative_position_index.dtype == torch.int64


def test_a_file_of_another_network_is_refused(tmp_path):
    file = write_head(tmp_path / "linear.pth", is_mlp=False)
    with pytest.raises(CheckpointError, match="does not fit its config"):
        load_aesthetic_head("mlp", file, embed_dim=EMBED_DIM)
    with pytest.raises(CheckpointError, match="does not fit its config"):
        load_dover(write_dover(tmp_path / "DOVER.pth"))


def test_a_tokenizer_of_another_network_is_refused(monkeypatch):
    monkeypatch.setattr(published_models, "clip_tokenizer", lambda folder: TOKENIZER)
    assert load_clip_tokenizer(TINY_CLIP, Path("x")) is TOKENIZER
    with pytest.raises(ConfigError, match="clip_l_14"):
        load_clip_tokenizer(published_models.VIT_L_14)
    assert TEXT.vocab_size == len(TOKENIZER)
