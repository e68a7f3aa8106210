import pytest
import torch

from rufous.core.errors import ConfigError
from rufous.core.randomness import generator_from
from rufous.networks.text_encoders import TextEncoderConfig, WordTokenizer
from rufous.networks.video_text import VideoTextConfig, VideoTextModel

TOKENIZER = WordTokenizer(["a", "blue", "circle", "moving", "red", "square"])
TINY = VideoTextConfig(
    text=TextEncoderConfig(
        vocab_size=len(TOKENIZER), context_length=8, width=8, heads=2, layers=2, embed_dim=6
    ),
    image_size=16,
    channels=(4, 4, 4, 4),
    norm_groups=2,
    frame_width=8,
    temporal_layers=1,
    temporal_heads=2,
    max_frames=8,
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    network = VideoTextModel(TINY).eval()
    with torch.no_grad():
        network.frame_position.mul_(50)  # a trained model tells positions apart; fresh ones are near zero
    return network


def clip(num_frames=4, size=16, count=2):
    return torch.rand(count, 3, num_frames, size, size, generator=generator_from(num_frames, size)) * 2 - 1


@torch.no_grad()
def test_all_embeddings_are_unit_vectors_of_one_width(model):
    ids, mask = TOKENIZER.encode(["a red circle", "a blue square moving"], 8)
    video = clip()
    embeddings = (model.encode_video(video), model.encode_image(video[:, :, 0]), model.encode_text(ids, mask))
    for embedding in embeddings:
        assert embedding.shape == (2, 6)
        torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))


@torch.no_grad()
def test_the_order_of_frames_matters_to_a_clip(model):
    video = clip()
    assert not torch.allclose(model.encode_video(video), model.encode_video(video.flip(2)), atol=1e-4)


@torch.no_grad()
def test_the_order_of_frames_does_not_matter_to_single_frames(model):
    video = clip()
    forwards = torch.stack([model.encode_image(video[:, :, i]) for i in range(4)])
    backwards = torch.stack([model.encode_image(video.flip(2)[:, :, i]) for i in range(4)])
    torch.testing.assert_close(forwards, backwards.flip(0))


@torch.no_grad()
def test_features_of_a_frame_do_not_depend_on_its_neighbours(model):
    video = clip()
    alone = torch.cat([model.frame_features(video[:, :, i : i + 1]) for i in range(4)], dim=1)
    torch.testing.assert_close(model.frame_features(video), alone)


@torch.no_grad()
def test_clips_of_a_batch_do_not_see_each_other(model):
    video = clip(count=3)
    torch.testing.assert_close(model.encode_video(video)[1:2], model.encode_video(video[1:2]))


@torch.no_grad()
def test_where_a_thing_is_changes_the_features(model):
    left, right = -torch.ones(2, 1, 3, 1, 16, 16)
    left[..., 6:10, 1:5] = 1
    right[..., 6:10, 11:15] = 1
    assert not torch.allclose(model.frame_features(left), model.frame_features(right), atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("size", [(8, 8), (32, 32), (24, 40)])
def test_frames_of_any_size_are_resized(model, size):
    flat = torch.full((1, 3, 2, *size), 0.25)
    expected = model.encode_video(torch.full((1, 3, 2, 16, 16), 0.25))
    torch.testing.assert_close(model.encode_video(flat), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_clip_may_be_as_long_as_max_frames_and_no_longer(model):
    assert model.encode_video(clip(8)).shape == (2, 6)
    with pytest.raises(ValueError, match="9 frames do not fit: this model reads up to 8"):
        model.encode_video(clip(9))


@torch.no_grad()
def test_the_mask_marks_the_end_token(model):
    short, short_mask = TOKENIZER.encode(["a red circle"], 8)
    cut, cut_mask = TOKENIZER.encode(["a red circle"], 5)
    torch.testing.assert_close(model.encode_text(short, short_mask), model.encode_text(cut, cut_mask))
    other = short.clone()
    other[short_mask.logical_not()] = 5  # what stands behind the end is never read
    torch.testing.assert_close(model.encode_text(short, short_mask), model.encode_text(other, short_mask))
    earlier = short_mask.clone()
    earlier[0, 4] = False
    assert not torch.allclose(model.encode_text(short, short_mask), model.encode_text(short, earlier))


@torch.no_grad()
def test_different_captions_have_different_embeddings(model):
    embeddings = model.encode_text(*TOKENIZER.encode(["a red circle", "a blue circle"], 8))
    assert not torch.allclose(embeddings[0], embeddings[1], atol=1e-4)


def test_gradients_reach_the_pixels_of_every_frame(model):
    video = clip().requires_grad_()
    (gradient,) = torch.autograd.grad(model.encode_video(video)[:, 0].sum(), video)
    assert (gradient.abs().amax(dim=(0, 1, 3, 4)) > 0).all()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"image_size": 40}, "multiple of 16"),
        ({"frame_width": 9, "temporal_heads": 2}, "no multiple of 2 heads"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings, problem):
    with pytest.raises(ConfigError, match=problem):
        VideoTextConfig(**settings)
