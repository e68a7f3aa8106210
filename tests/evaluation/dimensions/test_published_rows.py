import hashlib

import pytest
import torch

from rufous.checkpoints.vbench import VBENCH_FILES
from rufous.core.errors import CheckpointError
from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.published_rows import PUBLISHED_ROWS, on_device
from rufous.perception.raft import RAFT, RAFT_THINGS

CPU = torch.device("cpu")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty place for weights, and an empty home."""
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.parametrize("name", PUBLISHED_ROWS)
def test_without_its_file_a_row_says_where_to_get_it(name, cache):
    with pytest.raises(CheckpointError, match=r"is missing: looked for .*https?://"):
        PUBLISHED_ROWS[name](CPU)


def test_a_row_is_known_by_its_file_and_measures_with_it(cache):
    torch.manual_seed(0)
    file = cache / VBENCH_FILES["raft"].place
    file.parent.mkdir(parents=True)
    torch.save({f"module.{name}": value for name, value in RAFT(RAFT_THINGS).state_dict().items()}, file)
    row = PUBLISHED_ROWS["dynamic_degree"](CPU)
    assert row.identity == hashlib.sha256(file.read_bytes()).hexdigest()
    assert row.is_large
    frames = torch.randint(0, 256, (2, 3, 128, 128), dtype=torch.uint8)
    score = row.dimension.measure(DecodedClip(frames=frames, fps=8.0))
    assert len(score.details["motions_px"]) == 1


def test_a_network_elsewhere_is_asked_there_and_answers_on_the_cpu():
    asked = []

    def network(first, second):
        asked.append((first.device, second.device))
        return first + second

    out = on_device(network, torch.device("meta"))
    with pytest.raises(NotImplementedError, match="meta"):  # what lies on the meta device cannot come back
        out(torch.ones(1), torch.ones(1))
    assert asked == [(torch.device("meta"), torch.device("meta"))]
    assert on_device(network, CPU)(torch.ones(1), torch.ones(1)).item() == 2.0
