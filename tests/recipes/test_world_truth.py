import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from rufous.recipes import RECIPES
from rufous.recipes.world_truth import Judged, WorldTruthConfig, bootstrap_interval, summarize
from rufous.world import WorldClips
from rufous.world.truth import measure, truth_of


def test_the_interval_covers_the_mean_and_narrows_with_more_clips():
    few, many = np.array([0.0, 1.0] * 10), np.array([0.0, 1.0] * 200)
    low, high = bootstrap_interval(few)
    assert low < 0.5 < high
    inner = bootstrap_interval(many)
    assert inner[1] - inner[0] < (high - low) / 2
    assert bootstrap_interval(np.ones(9)) == (1.0, 1.0)


def test_real_clips_are_true():
    clips = WorldClips(seed=77, complete_captions=True)
    judged = [
        Judged(truth_of(clip.frames, clip.fps, clip.caption), measure(clip.frames, clip.fps).motion_magnitude)
        for clip in (clips[index] for index in range(6))
    ]
    summary = summarize(judged)
    assert summary["all_right"] >= 5 / 6
    assert summary["num_clips"] == 6


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
    assert ("seconds_per_clip" in report) is not autoencoder_only
    for split in ("seen", "held_out"):
        assert report[split]["num_clips"] == 2
        assert 0 <= report[split]["all_right_95"][0] <= report[split]["all_right"] <= 1
