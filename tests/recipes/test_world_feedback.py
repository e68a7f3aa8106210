import logging
from dataclasses import replace

import pytest
import torch

import rufous
from rufous.checkpoints.release import load_component
from rufous.evaluation.judging import judge_clip
from rufous.networks.tiny_decoder import TinyDecoder, TinyDecoderConfig
from rufous.recipes.world_feedback import (
    HELD_OUT_IMAGES,
    MEASURED,
    FeedbackConfig,
    baseline_of,
    make_feedback,
    measure_model,
)
from rufous.rewards.world import world_rewards


@pytest.fixture(scope="module")
def rewards(road):
    return world_rewards(road.root / "video_text" / "release")


@pytest.fixture(scope="module")
def autoencoder(road):
    return load_component(road.latents.autoencoder, "autoencoder", dtype=torch.float32)


def clips(**figures):
    """Of eight clips, all alike."""
    return {name: [value] * 8 for name, value in figures.items()}


def test_motion_is_the_teachers_and_the_rest_the_starting_students():
    teacher = clips(truth=0.9, motion_magnitude=0.5, reward_looks=0.8)
    student = clips(truth=0.6, motion_magnitude=0.3, reward_looks=0.7)
    baseline = baseline_of(teacher=teacher, student=student)
    assert baseline == clips(truth=0.6, motion_magnitude=0.5, reward_looks=0.7)


def test_by_default_the_image_reward_is_held_out_and_guarded(rewards, autoencoder, caplog):
    assert (HELD_OUT_IMAGES.image_text, HELD_OUT_IMAGES.is_on) == (0.0, True)
    with caplog.at_level(logging.WARNING):
        feedback = make_feedback(HELD_OUT_IMAGES, rewards, autoencoder)
    assert not caplog.records
    steady = clips(truth=0.5, motion_magnitude=0.2, reward_world_image_text=0.6)
    feedback.compare_with(steady)
    assert not feedback.watch({**steady, **clips(reward_world_image_text=0.585)})
    for strayed in (
        clips(reward_world_image_text=0.58),
        clips(motion_magnitude=0.18),
        clips(motion_magnitude=0.23),
        clips(truth=0.47),
    ):
        assert feedback.watch({**steady, **strayed})


def test_training_on_both_rewards_is_allowed_and_told(rewards, autoencoder, caplog):
    both = FeedbackConfig(image_text=1.0, video_text=2.0)
    with caplog.at_level(logging.WARNING):
        feedback = make_feedback(both, rewards, autoencoder)
    assert "none is held out" in caplog.text
    steady = clips(truth=0.5, motion_magnitude=0.2)
    feedback.compare_with(steady)
    assert not feedback.watch(steady)


def test_what_shapes_the_student_is_named(road):
    rewards, decoder = road.root / "video_text" / "release", road.root / "autoencoder" / "release"
    off = FeedbackConfig(rewards=str(rewards), tiny_decoder=str(decoder))
    assert off.parents() == {}
    on = replace(off, video_text=1.0)
    assert on.parents() == {"rewards": rewards, "tiny_decoder": decoder}
    assert replace(on, tiny_decoder=None).parents() == {"rewards": rewards}


def test_a_tiny_decoder_takes_the_place_of_the_full_one(rewards, autoencoder, monkeypatch):
    tiny = TinyDecoder(TinyDecoderConfig.fitting(autoencoder.config, width=8, blocks_per_stage=1))
    monkeypatch.setattr("rufous.recipes.watching.find_release", lambda name: name)
    monkeypatch.setattr("rufous.recipes.watching.load_component", lambda *args, **kwargs: tiny)
    config = replace(HELD_OUT_IMAGES, tiny_decoder="tiny", image_frames=2)
    latents = torch.zeros(1, 4, 4, 4, 4)
    decode = make_feedback(config, rewards, autoencoder)._decode
    torch.testing.assert_close(decode(latents), tiny.decode_video(latents).clamp(-1, 1))


def test_a_model_is_measured_the_same_way_each_time(road, rewards):
    pipe = rufous.load(road.root / "teacher" / "release", device="cpu")
    found = measure_model(pipe, {4: 3}, rewards)
    assert tuple(found) == MEASURED
    assert MEASURED[2:] == tuple(f"reward_{kind.name}" for kind in rewards)
    assert {len(values) for values in found.values()} == {3}
    assert set(found["truth"]) <= {0.0, 1.0}
    assert found == measure_model(pipe, {4: 3}, rewards)


def test_clips_of_several_lengths_are_measured_together_and_truth_is_told_of_each(road, rewards, monkeypatch):
    judged = []

    def judge(frames, *others):
        judged.append(len(frames))
        return judge_clip(frames, *others)

    monkeypatch.setattr("rufous.recipes.world_feedback.judge_clip", judge)
    pipe = rufous.load(road.root / "teacher" / "release", device="cpu")
    found = measure_model(pipe, {4: 2, 6: 1}, rewards)
    assert judged == [4, 4, 6]
    assert {name: len(values) for name, values in found.items()} == {
        **dict.fromkeys(MEASURED, 3),
        "truth_4": 2,
        "truth_6": 1,
    }
    assert found["truth"] == [*found["truth_4"], *found["truth_6"]]
