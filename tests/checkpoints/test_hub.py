import logging

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


def test_a_long_reason_is_not_cut_in_a_sentence(monkeypatch):
    reason = "the file is not in the cache and the hub cannot be reached " * 4 + "for now"

    def fail_at_length(*_, **__):
        raise LocalEntryNotFoundError(reason)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail_at_length)
    with pytest.raises(CheckpointError) as caught:
        download_file("a/b", "x", otherwise="nothing")
    assert str(caught.value) == f"cannot download x of a/b: {reason}.\nWithout a network: nothing"


def test_failed_attempts_are_not_logged_one_by_one(monkeypatch, tmp_path, caplog):
    log = logging.getLogger("huggingface_hub.utils._http")

    def retry(*_, **__):
        log.warning("Retrying in 1s [Retry 1/5]")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", retry)
    before = log.level
    download_file("a/b", "x", otherwise="nothing")
    assert not caplog.records
    assert log.level == before


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
