import json
from dataclasses import replace

import pytest
import torch

from rufous.checkpoints.release import load_component
from rufous.recipes import RECIPES
from rufous.recipes.world_truth import WorldTruthConfig, embed
from rufous.video.frames import from_uint8


def test_features_are_of_the_frames_that_the_model_reads(road):
    model = load_component(road.root / "video_text" / "release", "video_text")
    clips = [road.clips.clips[index].frames for index in range(3)]
    video = from_uint8(torch.stack(clips).transpose(1, 2)[:, :, [0, 3]])
    with torch.no_grad():
        torch.testing.assert_close(embed(model, clips, 3), model.encode_video(video))


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
