import math

import pytest
import torch
from torch import nn

from rufous.core.randomness import generator_from
from rufous.distillation import CaptionedVideos, ContrastiveObjective
from rufous.distillation.contrastive import MAX_LOG_SCALE
from rufous.networks.text_encoders import TextEncoderConfig
from rufous.networks.video_text import VideoTextConfig, VideoTextModel

TINY = VideoTextConfig(
    text=TextEncoderConfig(vocab_size=20, context_length=6, width=8, heads=2, layers=2, embed_dim=8),
    image_size=16,
    channels=(4, 4, 4, 4),
    norm_groups=2,
    frame_width=8,
    temporal_layers=1,
    temporal_heads=2,
    max_frames=8,
)


class Towers(VideoTextModel):
    """Embeddings as a test chooses them: row ``i`` of a matrix for clip, frame and caption ``i``."""

    def __init__(self, video, text, *, log_scale=MAX_LOG_SCALE):
        super().__init__(TINY)
        self.rows = {"video": video, "text": text}
        self.logit_scale = nn.Parameter(torch.tensor(log_scale))

    def project_video(self, features):
        return self.rows["video"]

    def project_image(self, features):
        self.chosen = features
        return self.rows["video"]

    def encode_text(self, ids, mask):
        return self.rows["text"]


def batch(count=8, num_frames=4):
    generator = generator_from(0, "contrastive")
    video = torch.rand(count, 3, num_frames, 16, 16, generator=generator) * 2 - 1
    ids = torch.arange(count)[:, None].expand(count, 6) % 20
    return CaptionedVideos(video, ids.contiguous(), torch.ones(count, 6, dtype=torch.bool))


def identical(count=8):
    return torch.nn.functional.normalize(torch.ones(count, 8), dim=-1)


def test_identical_embeddings_are_at_chance():
    objective = ContrastiveObjective(Towers(identical(), identical()), image_weight=0.5)
    loss, metrics = objective.loss(batch(), generator_from(0))
    assert float(metrics["video_loss"]) == pytest.approx(math.log(8), rel=1e-5)
    assert loss.item() == pytest.approx(1.5 * math.log(8), rel=1e-5)


def test_aligned_embeddings_have_no_loss_and_find_each_other():
    loss, metrics = ContrastiveObjective(Towers(torch.eye(8), torch.eye(8))).loss(batch(), generator_from(0))
    assert loss.item() < 1e-6
    assert metrics["video_accuracy"] == 1
    assert metrics["image_accuracy"] == 1


def test_misplaced_captions_cost_more_than_chance():
    towers = Towers(torch.eye(8), torch.eye(8).roll(1, dims=0))
    loss, metrics = ContrastiveObjective(towers).loss(batch(), generator_from(0))
    assert loss.item() > 1.5 * math.log(8)
    assert metrics["video_accuracy"] == 0


def test_the_scale_is_capped_as_in_clip():
    text = torch.eye(8).roll(1, dims=0)
    losses = [
        ContrastiveObjective(Towers(torch.eye(8), text, log_scale=log_scale))
        .loss(batch(), generator_from(0))[0]
        .item()
        for log_scale in (MAX_LOG_SCALE, 2 * MAX_LOG_SCALE)
    ]
    assert losses[0] == losses[1]


def test_the_image_weight_scales_the_frame_term_alone():
    rows = torch.nn.functional.normalize(torch.randn(8, 8, generator=generator_from(4)), dim=-1)
    for weight in (0.0, 2.0):
        objective = ContrastiveObjective(Towers(rows, identical()), image_weight=weight)
        loss, metrics = objective.loss(batch(), generator_from(0))
        expected = metrics["video_loss"] + weight * metrics["image_loss"]
        torch.testing.assert_close(loss.detach(), expected)


def test_the_frame_of_each_clip_comes_from_the_generator():
    towers = Towers(torch.eye(8), torch.eye(8))
    objective = ContrastiveObjective(towers)
    chosen = []
    for seed in (1, 1, 2):
        objective.loss(batch(), generator_from(seed))
        chosen.append(towers.chosen.detach())
    assert torch.equal(chosen[0], chosen[1])
    assert not torch.equal(chosen[0], chosen[2])


def test_a_caption_that_is_nearly_right_costs_what_it_takes_from_the_true_one():
    plain = batch()
    wrong = plain.ids[:, None].expand(8, 3, 6).contiguous()
    mask = torch.ones(8, 3, 6, dtype=torch.bool)
    hard = CaptionedVideos(plain.video, plain.ids, plain.mask, wrong, mask)

    class Confused(Towers):
        def encode_text(self, ids, mask):
            return torch.eye(8).repeat_interleave(len(ids) // 8, dim=0)

    towers = Confused(torch.eye(8), torch.eye(8))
    loss, metrics = ContrastiveObjective(towers, image_weight=0.0).loss(hard, generator_from(0))
    # four captions alike: the clip is a quarter sure of the true one, the caption is sure of its clip
    assert loss.item() == pytest.approx(0.5 * math.log(4), rel=1e-4)
    assert metrics["video_accuracy"] == 1


def test_two_captions_of_one_clip_must_find_each_other():
    plain = batch()
    pairs = CaptionedVideos(
        plain.video, plain.ids, plain.mask, again_ids=plain.ids.roll(1, 0), again_mask=plain.mask
    )

    class Readers(Towers):
        def encode_text(self, ids, mask):
            return torch.eye(8)[ids[:, 0]]

    towers = Readers(torch.eye(8), None)
    _, plain_metrics = ContrastiveObjective(towers).loss(plain, generator_from(0))
    assert "text_loss" not in plain_metrics
    loss, metrics = ContrastiveObjective(towers, text_weight=0.25).loss(pairs, generator_from(0))
    assert metrics["text_accuracy"] == 0  # each second caption was taken from another clip
    assert loss.item() == pytest.approx(0.25 * float(metrics["text_loss"]), rel=1e-4)


def test_a_few_steps_bind_captions_to_their_clips():
    torch.manual_seed(0)
    objective = ContrastiveObjective(VideoTextModel(TINY))
    optimizer = torch.optim.AdamW(objective.trainable.parameters(), lr=1e-2)
    losses = []
    for step in range(12):
        loss, _ = objective.loss(batch(), generator_from(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        objective.after_step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_the_length_of_a_batch_is_its_number_of_clips():
    assert len(batch(5)) == 5


def test_it_carries_no_state_from_step_to_step():
    objective = ContrastiveObjective(VideoTextModel(TINY))
    assert objective.state_dict() == {}
    objective.load_state_dict({})
