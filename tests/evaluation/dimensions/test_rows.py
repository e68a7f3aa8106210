import pickle

import pytest
import torch

from rufous.checkpoints import embedded_models
from rufous.checkpoints.vbench import VBENCH_FILES
from rufous.core.errors import MissingWeightsError
from rufous.evaluation.dimensions import rows
from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import Dimension
from rufous.evaluation.dimensions.rows import ROW_NAMES, ROW_NEEDS, EmbedWorld, load_rows
from rufous.networks.video_text import VideoTextConfig, VideoTextModel
from rufous.world import WorldClips

CPU = torch.device("cpu")


def test_rows_without_networks_are_always_there():
    loaded = load_rows(["temporal_flickering", "world_truth"], CPU)
    assert list(loaded.rows) == ["temporal_flickering", "world_truth"]
    assert all(isinstance(row.dimension, Dimension) for row in loaded.rows.values())
    assert {row.dimension.name for row in loaded.rows.values()} == set(loaded.rows)


def test_what_a_score_depends_on_names_the_version_of_its_row():
    loaded = load_rows(["temporal_flickering", "world_features"], CPU).rows
    assert loaded["temporal_flickering"].key == "1 "
    if "world_features" in loaded:
        assert loaded["world_features"].key == f"2 {loaded['world_features'].identity}"


def test_a_row_whose_weights_are_missing_is_left_out_with_the_reason():
    def missing(device):
        raise MissingWeightsError("x.pth is missing: get it from https://example.com")

    names = ["subject_consistency", "temporal_flickering"]
    loaded = load_rows(names, CPU, {"subject_consistency": missing})
    assert loaded.damaged == set()
    assert list(loaded.rows) == ["temporal_flickering"]
    assert loaded.left_out == {"subject_consistency": "x.pth is missing: get it from https://example.com"}


def test_a_file_that_is_there_and_wrong_is_not_like_one_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("raft", "musiq"):  # one that cannot be read, one of another checksum
        file = tmp_path / VBENCH_FILES[name].place
        file.parent.mkdir(parents=True)
        file.write_bytes(b"no weights")
    loaded = load_rows(["dynamic_degree", "imaging_quality", "subject_consistency"], CPU)
    assert set(loaded.left_out) == {"dynamic_degree", "imaging_quality", "subject_consistency"}
    assert loaded.damaged == {"dynamic_degree", "imaging_quality"}
    assert "damaged or another file" in loaded.left_out["imaging_quality"]


def test_what_rows_look_for_is_known_before_they_are_loaded():
    kinds = [kind for kind in vars(rows).values() if isinstance(kind, type) and getattr(kind, "needs", None)]
    assert {kind.name: kind.needs for kind in kinds} == ROW_NEEDS
    assert set(ROW_NEEDS) == {name for name in ROW_NAMES if name.startswith("proxy_")} | {"appearance_style"}


def test_an_unknown_row_is_refused():
    with pytest.raises(ValueError, match="no row flicker: use subject_consistency"):
        load_rows(["flicker"], CPU)


def test_features_of_the_world_can_be_sent_to_other_processes():
    torch.manual_seed(0)
    config = VideoTextConfig(channels=(8, 8, 8, 8), norm_groups=4, frame_width=16, temporal_layers=1)
    embed = EmbedWorld(VideoTextModel(config).eval(), frame_stride=2)
    frames = WorldClips(seed=1)[0].frames
    with torch.no_grad():
        assert torch.equal(pickle.loads(pickle.dumps(embed))(frames), embed(frames))
        assert torch.equal(embed(frames), embed(frames[::2].repeat_interleave(2, dim=0)))


@pytest.mark.skipif("world-video-text" not in embedded_models(), reason="no embedded model in this checkout")
def test_the_embedded_model_gives_unit_features():
    row = load_rows(["world_features"], CPU).rows["world_features"]
    clip = DecodedClip(frames=WorldClips(seed=1)[0].frames, fps=8.0)
    features = torch.tensor(row.dimension.measure(clip).details["features"])
    assert features.norm() == pytest.approx(1.0, abs=1e-4)
    assert row.identity
