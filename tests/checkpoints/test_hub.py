import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from rufous.checkpoints.hub import download_file, download_release
from rufous.core.errors import CheckpointError


def fail(*_, **__):
    raise LocalEntryNotFoundError("cannot reach the hub\nand a long story")


def test_without_a_network_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(CheckpointError, match=r"(?s)model.ckpt of a/b: cannot reach the hub.*put it into x$"):
        download_file("a/b", "model.ckpt", otherwise="put it into x")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(CheckpointError, match="copy the release folder here"):
        download_release("a/b")


def test_a_bad_hub_id_is_refused_in_the_same_words():
    with pytest.raises(CheckpointError, match="cannot download x of not a hub id"):
        download_file("not a hub id", "x", otherwise="nothing")


def test_a_release_is_fetched_without_pickles_or_code(monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda hub_id, **options: asked.update(options) or str(tmp_path)
    )
    assert download_release("a/b", revision="main") == tmp_path
    assert asked["revision"] == "main"
    assert not any(
        pattern.endswith((".py", ".pt", ".bin", ".ckpt", "*")) for pattern in asked["allow_patterns"]
    )


def test_a_cached_file_is_given_by_its_path(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: str(tmp_path / "f"))
    assert download_file("a/b", "f", otherwise="") == tmp_path / "f"
