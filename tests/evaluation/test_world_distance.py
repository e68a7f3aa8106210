import logging

import torch

from rufous.evaluation import world_distance as distances
from rufous.evaluation.dimensions.dimension import ClipScore
from rufous.evaluation.world_distance import REFERENCE_SEED, world_distance
from rufous.world import WorldClips
from tests.evaluation.results_of import measured_clip


def mean_colors(frames: torch.Tensor) -> torch.Tensor:
    return frames.float().mean(dim=(0, 2, 3)) / 255


def featured(count: int, seed: int, shift: float = 0.0):
    clips = WorldClips(seed=seed, split="any", num_frames=4)
    rows = [(mean_colors(clips[i].frames) + shift).tolist() for i in range(count)]
    return [measured_clip(i, features_score(row)) for i, row in enumerate(rows)]


def features_score(features: list[float], *, num_frames: int = 4, fps: float = 8.0):
    details = {"features": features, "num_frames": num_frames, "fps": fps}
    return {"world_features": ClipScore(value=None, details=details)}


def test_real_clips_are_as_near_as_real_clips_and_others_are_not():
    near = world_distance(featured(12, 3), mean_colors)
    far = world_distance(featured(12, 3, shift=0.5), mean_colors)
    assert near is not None
    assert far is not None
    assert near["floor"] == far["floor"]
    assert near["distance"] < 10 * near["floor"] + 0.02
    assert far["distance"] > near["distance"] + 0.3
    assert (near["num_clips"], near["num_features"], near["label"]) == (12, 3, "proxy")


def test_the_reference_against_itself_is_zero():
    same = world_distance(featured(8, REFERENCE_SEED), mean_colors)
    assert same is not None
    assert same["distance"] < 1e-6


def test_few_clips_are_warned_about_and_one_is_no_set(caplog):
    with caplog.at_level(logging.WARNING):
        few = world_distance(featured(3, 3), mean_colors)
    assert "3 clips are few for 3 features" in caplog.text
    assert few is not None
    assert few["warning"].startswith("3 clips are few for 3 features")
    many = world_distance(featured(4, 3), mean_colors)
    assert many is not None
    assert "warning" not in many
    assert world_distance(featured(1, 3), mean_colors) is None


def test_real_clips_are_embedded_once(tmp_path):
    embedded = []

    def counted(frames):
        embedded.append(1)
        return mean_colors(frames)

    def distance(count, network="a"):
        return world_distance(featured(count, 3), counted, cache_dir=tmp_path, network=network)

    first = distance(4)
    assert len(embedded) == 8
    assert distance(4) == first == world_distance(featured(4, 3), mean_colors)
    assert len(embedded) == 8
    distance(5)
    assert len(embedded) == 10
    distance(4, network="b")
    assert len(embedded) == 18


def test_real_clips_are_as_long_as_most_clips(caplog, monkeypatch):
    made = []
    monkeypatch.setattr(
        distances,
        "WorldClips",
        lambda **told: made.append((told["num_frames"], told["fps"])) or WorldClips(**told),
    )
    longer = measured_clip(90, features_score([0.1, 0.2, 0.3], num_frames=2, fps=3.0))
    with caplog.at_level(logging.WARNING):
        found = world_distance([longer, *featured(4, 3)], mean_colors)
    assert made == [(4, 8.0)] * 2
    assert (found["num_frames"], found["fps"], found["num_otherwise"]) == (4, 8.0, 1)
    assert "1 of 5 clips have another length or rate than 4 frames at 8 fps" in caplog.text
