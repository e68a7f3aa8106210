import pytest
import torch

from rufous.checkpoints.published import PublishedFile
from rufous.checkpoints.weights import find_weights, load_published, read_weights
from rufous.core.errors import CheckpointError

FILE = PublishedFile(hub_id="someone/Model_v1", file="weights.pt")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *args, **kwargs: None)
    return tmp_path


def test_a_named_file_is_taken_or_missed(home):
    path = home / "mine.pt"
    with pytest.raises(CheckpointError, match=r"weights\.pt is missing: looked for .*mine\.pt\. Get it"):
        find_weights(FILE, path)
    path.touch()
    assert find_weights(FILE, path) == path


def test_files_are_looked_for_in_the_users_cache_then_in_the_hubs(home, monkeypatch):
    hubs = home / "hub" / "weights.pt"
    hubs.parent.mkdir()
    hubs.touch()
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *args, **kwargs: str(hubs))
    assert find_weights(FILE) == hubs
    own = home / ".cache" / "rufous" / "weights" / "Model_v1" / "weights.pt"
    own.parent.mkdir(parents=True)
    own.touch()
    assert find_weights(FILE) == own


def test_a_missing_file_is_named_with_its_places_and_its_address(home):
    with pytest.raises(CheckpointError) as error:
        find_weights(FILE)
    assert str(error.value) == (
        f"weights.pt is missing: looked for {home}/.cache/rufous/weights/Model_v1/weights.pt and in the "
        "hub's cache. Get it from https://huggingface.co/someone/Model_v1 "
        "(hf download someone/Model_v1 weights.pt), sha256 unknown here"
    )


def test_a_file_that_is_not_on_the_hub_is_named_with_its_own_address(home, monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *args, **kwargs: 1 / 0)
    elsewhere = PublishedFile(hub_id="someone/code", file="net.pt", url="https://example.org/net.pt")
    with pytest.raises(CheckpointError) as error:
        find_weights(elsewhere)
    assert str(error.value) == (
        f"net.pt is missing: looked for {home}/.cache/rufous/weights/code/net.pt. "
        "Get it from https://example.org/net.pt, sha256 unknown here"
    )


def test_a_checksum_that_is_known_is_told(home):
    known = PublishedFile(hub_id="someone/code", file="net.pt", sha256="ab12")
    with pytest.raises(CheckpointError, match=r"\(hf download someone/code net\.pt\), sha256 ab12$"):
        find_weights(known)


def test_a_published_network_is_frozen_and_every_name_must_fit(tmp_path):
    path = tmp_path / "linear.pt"
    torch.save({"old.weight": torch.ones(2, 3), "old.bias": torch.zeros(2)}, path)

    def build(tensors):
        renamed = {name.removeprefix("old."): tensor for name, tensor in tensors.items()}
        return torch.nn.Linear(3, 2), renamed

    network = load_published(build, path)
    assert network(torch.ones(1, 3)).tolist() == [[3.0, 3.0]]
    assert not network.training
    assert not network.weight.requires_grad
    with pytest.raises(CheckpointError, match=r"missing weight \(nearest: old.weight\)"):
        load_published(lambda tensors: (torch.nn.Linear(3, 2), tensors), path)


def test_weights_are_read_from_under_their_key(tmp_path):
    path = tmp_path / "file.pth"
    torch.save({"model": {"a": torch.ones(2)}, "step": 3}, path)
    assert read_weights(path, key="model")["a"].tolist() == [1.0, 1.0]
    with pytest.raises(CheckpointError, match="no weights under 'ema'"):
        read_weights(path, key="ema")
    with pytest.raises(CheckpointError, match="no weights under 'step'"):
        read_weights(path, key="step")


def test_code_in_a_file_never_runs(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    path = tmp_path / "bomb.pth"
    torch.save({"model": {"a": torch.ones(1), "b": Bomb()}}, path)
    with pytest.raises(CheckpointError, match="no weights under 'model'"):
        read_weights(path, key="model")
    assert not (tmp_path / "ran").exists()
