from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from torch import nn

from rufous.checkpoints import published
from rufous.checkpoints.convert import convert
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.published import PUBLISHED, fetch_published
from rufous.checkpoints.release import load_component
from rufous.core.errors import CheckpointError
from tests.checkpoints.tiny_files import TINY_TEXT, save_module_of_lost_class, whole_checkpoint


def test_the_table_holds_only_what_was_verified():
    for name, release in PUBLISHED.items():
        assert release.name == name
        assert release.verified.startswith("format only")
        assert all(file.revision is None and file.hub_id.count("/") == 1 for file in release.files)


def test_offline_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def offline(*_: Any, **__: Any) -> str:
        raise LocalEntryNotFoundError("cannot reach the hub and nothing is cached")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(CheckpointError) as error:
        fetch_published("hummingbird-0.7b", tmp_path)
    assert "Without a network" in str(error.value)
    assert "07B_merged_all.pt" in str(error.value)
    assert "rufous convert 07B_merged_all.pt --kind hummingbird" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_the_hubs_own_offline_mode_gives_that_error_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(CheckpointError, match="Without a network: on a machine with one"):
        fetch_published("videocrafter2", tmp_path)


def test_a_release_is_downloaded_and_converted_in_one_step_and_only_once(
    monkeypatch: pytest.MonkeyPatch, networks: dict[str, nn.Module], tokenizer_folder: Path, tmp_path: Path
):
    save_module_of_lost_class(whole_checkpoint(networks), tmp_path / "07B_merged_all.pt")
    asked: list[str] = []

    def download(hub_id: str, file: str, **_: Any) -> str:
        asked.append(f"{hub_id}/{file}")
        folder = tokenizer_folder if file in ("vocab.json", "merges.txt") else tmp_path
        return str(folder / file)

    def convert_tiny(*arguments: Any, **options: Any) -> Manifest:
        return convert(*arguments, **options, network_configs={"text_encoder": TINY_TEXT})

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(published, "convert", convert_tiny)
    folder = fetch_published("hummingbird-0.7b", tmp_path / "cache")
    manifest = Manifest.load(folder)
    assert manifest.parents[0].name == "amd/AMD-Hummingbird-T2V/07B_merged_all.pt"
    assert manifest.licences == {"weights": "RAIL-MS"}
    assert next(load_component(folder, "unet").parameters()).dtype == torch.float16
    assert len(asked) == 3
    assert fetch_published("hummingbird-0.7b", tmp_path / "cache") == folder
    assert len(asked) == 3


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path):
    with pytest.raises(CheckpointError, match="use one of videocrafter2"):
        fetch_published("sora", tmp_path)


def test_the_users_cache_is_the_default(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(published, "Path", SimpleNamespace(home=lambda: Path("/somewhere")))
    assert published.default_cache() == Path("/somewhere/.cache/rufous")
