import json
from dataclasses import replace

import pytest
import torch

import rufous
from rufous.checkpoints.release import load_config, verify_release
from rufous.distillation.teaching import GuidanceRange
from rufous.recipes import RECIPES
from rufous.recipes.world_few_steps import with_guidance_embedding
from rufous.recipes.world_recovery import load_denoiser

CPU = torch.device("cpu")


@pytest.mark.parametrize("method", ["consistency", "distribution_matching"])
def test_the_student_generates_in_few_steps(student_road, tmp_path, method):
    config = replace(student_road.few_steps, method=method)
    folder = RECIPES["world_few_steps"].run(config, tmp_path, CPU)
    verify_release(folder)
    sampling = load_config(folder, "diffusion").sampling
    assert (sampling.solver, sampling.num_inference_steps, sampling.guidance_scale) == ("lcm", 4, 1.0)
    pipe = rufous.load(folder, device="cpu")
    clip = pipe("a red circle moving left", generator=torch.Generator().manual_seed(0)).frames[0]
    assert clip.shape == (4, 3, 32, 32)


def test_validation_measures_truth_motion_and_both_rewards(student_road, tmp_path):
    feedback = replace(student_road.few_steps.feedback, image_text=1.0)
    config = replace(student_road.few_steps, method="consistency", feedback=feedback)
    RECIPES["world_few_steps"].run(config, tmp_path, CPU)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    validated = next(row for row in rows if "truth" in row)
    assert {"motion_magnitude", "reward_world_image_text", "reward_world_video_text"} <= set(validated)
    trained = next(row for row in rows if "consistency" in row)
    assert {"reward", "reward_world_video_text", "feedback_strength"} <= set(trained)


def test_a_guidance_embedding_is_trained_saved_and_told_at_sampling(student_road, tmp_path):
    config = replace(student_road.few_steps, method="consistency", guidance=GuidanceRange(2.0, 6.0, 16))
    folder = RECIPES["world_few_steps"].run(config, tmp_path, CPU)
    assert load_config(folder, "unet").guidance_embed_dim == 16
    assert load_config(folder, "diffusion").embedded_guidance_scale == 3.0
    assert rufous.load(folder, device="cpu").unet.time_cond_proj.weight.abs().sum() > 0


def test_a_new_guidance_embedding_changes_nothing_yet(student_road):
    plain = load_denoiser(student_road.few_steps.student, CPU)
    told = with_guidance_embedding(plain, 16)
    assert told.network.config.guidance_embed_dim == 16
    assert with_guidance_embedding(told, 16) is told
    weights, before = told.network.state_dict(), plain.network.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in before.items())
    assert float(weights["time_cond_proj.weight"].detach().abs().sum()) == 0.0
