import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from rufous.evaluation.frechet import frechet_distance
from rufous.pipelines.loading import load
from rufous.recipes import RECIPES, world_truth
from rufous.recipes.world_truth import WorldTruthConfig, judge_model


@pytest.mark.parametrize("autoencoder_only", [False, True])
def test_a_model_is_judged_on_seen_and_held_out_prompts(road, tmp_path, autoencoder_only):
    config = WorldTruthConfig(
        model=str(road.root / "teacher" / "release"),
        num_prompts=4,
        batch_size=2,
        num_frames=4,
        autoencoder_only=autoencoder_only,
        features=str(road.root / "video_text" / "release"),
    )
    path = RECIPES["world_truth"].run(replace(config), tmp_path, torch.device("cpu"))
    report = json.loads(path.read_text())
    assert report["frechet"] >= 0
    features = load_file(tmp_path / "features.safetensors")
    assert features["made"].shape == features["real"].shape
    assert len(features["made"]) == 4
    assert report["frechet"] == round(frechet_distance(features["made"], features["real"]), 5)
    assert ("seconds_per_clip" in report) is not autoencoder_only
    for split in ("seen", "held_out"):
        assert report[split]["num_clips"] == 2
        right, moved = report["right_by_clip"][split], report["motion_by_clip"][split]
        assert (len(right), len(moved)) == (2, 2)
        assert sum(right) / 2 == report[split]["all_right"]
        assert sum(moved) / 2 == pytest.approx(report[split]["motion_magnitude"], abs=1e-4)
        shares = report[split]["motion_by_name"]
        assert 1 <= len(shares) <= 2
        assert set(shares.values()) <= {0.0, 0.5, 1.0}
        assert 0 <= report[split]["all_right_95"][0] <= report[split]["all_right"] <= 1


def test_processes_share_the_clips_and_find_what_one_finds(road, tmp_path, monkeypatch):
    config = WorldTruthConfig(
        model=str(road.root / "teacher" / "release"),
        num_prompts=6,
        batch_size=2,
        num_frames=4,
        features=str(road.root / "video_text" / "release"),
    )
    pipe = load(config.model, device="cpu")
    alone = judge_model(pipe, config)
    shares = []
    for process in (0, 1):  # each runs by itself here; what would be exchanged is kept
        monkeypatch.setattr(world_truth, "rank", lambda process=process: process)
        monkeypatch.setattr(world_truth, "world_size", lambda: 2)
        sent = []
        monkeypatch.setattr(world_truth, "gathered", lambda values, sent=sent: sent.append(values) or values)
        found = judge_model(pipe, config)
        assert "seconds_per_clip" not in found.report
        shares.append(sent)
    both = iter([first + second for first, second in zip(*shares, strict=True)])
    monkeypatch.setattr(world_truth, "gathered", lambda values: next(both))
    together = judge_model(pipe, config)
    for name in ("seen", "held_out", "right_by_clip", "motion_by_clip", "frechet"):
        assert together.report[name] == alone.report[name]
    for ours, theirs in zip(together.features, alone.features, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert [len(values) for values in shares[0]] == [2, 2, 2, 2]  # verdicts and features of each split
    assert [len(values) for values in shares[1]] == [1, 1, 1, 1]
