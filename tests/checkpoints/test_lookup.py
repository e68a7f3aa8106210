from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from torch import nn

from rufous.checkpoints import lookup
from rufous.checkpoints.lookup import embedded_models, find_release, local_release
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import save_release
from rufous.core.errors import CheckpointError


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, networks: dict[str, nn.Module], tmp_path: Path) -> Path:
    save_release(tmp_path / "models" / "world-tiny", {"vae": networks["vae"]}, Manifest(name="world-tiny"))
    (tmp_path / "models" / "notes").mkdir()
    monkeypatch.setattr(lookup, "embedded_models", lambda: embedded_models(tmp_path / "models"))
    return tmp_path / "models"


def test_embedded_models_are_the_release_folders_of_the_package(models: Path, tmp_path: Path):
    assert embedded_models(models) == {"world-tiny": models / "world-tiny"}
    assert embedded_models(tmp_path / "absent") == {}


def test_a_name_a_folder_and_a_path_are_found(models: Path):
    assert find_release("world-tiny") == models / "world-tiny"
    assert find_release(str(models / "world-tiny")) == models / "world-tiny"
    assert find_release(models / "world-tiny") == models / "world-tiny"


def test_a_mistyped_name_shows_the_nearest(models: Path):
    with pytest.raises(CheckpointError, match="did you mean 'world-tiny'"):
        find_release("word-tiny")


def test_only_models_of_the_wanted_kind_are_offered(models: Path):
    with pytest.raises(CheckpointError, match="one of world-tiny, videocrafter2"):
        find_release("nosuch", kind="autoencoder_kl")
    with pytest.raises(
        CheckpointError, match="no model 'word-tiny': Use a folder, a hub id, or one of video"
    ):
        find_release("word-tiny", kind="unet3d")


def test_a_file_and_another_folder_say_what_to_do(models: Path, tmp_path: Path):
    (tmp_path / "model.ckpt").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="run `rufous convert"):
        find_release(tmp_path / "model.ckpt")
    with pytest.raises(CheckpointError, match="is no release"):
        find_release(models / "notes")


def test_the_hub_id_of_published_files_names_the_releases_made_of_them(models: Path):
    with pytest.raises(CheckpointError, match=r"hummingbird-0\.9b or hummingbird-0\.7b"):
        find_release("amd/AMD-Hummingbird-T2V")


def test_a_release_on_the_hub_is_fetched_and_verified(models: Path, monkeypatch: pytest.MonkeyPatch):
    def snapshot(hub_id: str, **options: Any) -> str:
        assert not any(pattern.endswith((".bin", ".pt", ".py")) for pattern in options["allow_patterns"])
        return str(models / ("world-tiny" if hub_id == "someone/world" else "notes"))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert find_release("someone/world") == models / "world-tiny"
    with pytest.raises(CheckpointError, match="someone/else is no release"):
        find_release("someone/else")
    (models / "world-tiny" / "vae" / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"changed vae/config\.json"):
        find_release("someone/world")


def test_without_a_network_a_hub_id_says_what_to_do(models: Path, monkeypatch: pytest.MonkeyPatch):
    def offline(*_: Any, **__: Any) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(CheckpointError, match="Without a network: copy the release folder"):
        find_release("someone/world")


def test_what_lies_here_is_found_without_a_download(
    models: Path, tmp_path: Path, networks: dict[str, nn.Module], monkeypatch: pytest.MonkeyPatch
):
    def never(*_: Any, **__: Any) -> str:
        raise AssertionError("a download was begun")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", never)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", never)
    assert local_release("world-tiny") == models / "world-tiny"
    assert local_release(models / "notes") == models / "notes"
    with pytest.raises(CheckpointError, match=r"not fetched yet.*rufous generate --model humming"):
        local_release("hummingbird-0.7b", tmp_path / "cache")
    folder = tmp_path / "cache" / "hummingbird-0.7b-fp16"
    save_release(folder, {"vae": networks["vae"]}, Manifest(name="hummingbird-0.7b"))
    assert local_release("hummingbird-0.7b", tmp_path / "cache") == folder


def test_what_does_not_lie_here_shows_the_nearest_name(models: Path):
    with pytest.raises(CheckpointError, match="word-tiny does not exist: did you mean 'world-tiny'"):
        local_release("word-tiny")
    with pytest.raises(CheckpointError, match="someone/world does not exist: use a path"):
        local_release("someone/world")
