import numpy as np
import pytest
import torch
from PIL import Image

from rufous.perception.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing, preprocess
from rufous.video.frames import from_uint8

IDENTITY = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def smooth_bytes(height, width):
    """An image with slopes and an edge, as bytes [h w 3]."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [255 * x / width, 255 * y / height, np.where(x + y > width, 230, 20)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def as_frames(image):
    return from_uint8(torch.from_numpy(image.copy()).permute(2, 0, 1)[None])


@pytest.mark.parametrize(("height", "width"), [(60, 90), (90, 60), (53, 71), (20, 31)])
def test_crop_agrees_with_the_published_processor_up_to_bytes(height, width):
    from transformers import CLIPImageProcessor

    processor = CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, do_convert_rgb=False
    )
    image = smooth_bytes(height, width)
    published = processor(images=Image.fromarray(image), return_tensors="pt")["pixel_values"]
    ours = preprocess(as_frames(image), Preprocessing(size=32))
    level = 1 / 255 / min(CLIP_STD)
    assert (ours - published).abs().max() < 1.1 * level  # each pass of PIL rounds to bytes
    assert (ours - published).abs().mean() < 0.4 * level


def test_padding_keeps_the_whole_frame_in_the_middle_of_black():
    image = smooth_bytes(40, 80)
    config = Preprocessing(size=32, fit="pad", **IDENTITY)
    padded = preprocess(as_frames(image), config)[0]
    resized = np.asarray(Image.fromarray(image).resize((32, 16), Image.Resampling.BICUBIC)) / 255
    inside = torch.from_numpy(resized).permute(2, 0, 1)
    assert (padded[:, 8:24] - inside).abs().max() < 1.1 / 255
    assert padded[:, :8].eq(0).all()
    assert padded[:, 24:].eq(0).all()


def test_an_odd_margin_leaves_its_last_row_below():
    padded = preprocess(torch.ones(1, 3, 31, 32), Preprocessing(size=32, fit="pad", **IDENTITY))
    assert padded[0, 0, :, 0].tolist() == [1.0] * 31 + [0.0]


def test_values_are_normalised_as_clip_was_trained():
    white = preprocess(torch.ones(1, 3, 8, 8), Preprocessing(size=8))
    expected = (1 - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)
    torch.testing.assert_close(white[0, :, 3, 3], expected)


def test_what_lies_beyond_the_range_saturates_and_has_no_gradient():
    frames = torch.tensor([-1.4, 0.0, 1.4]).reshape(1, 3, 1, 1).expand(1, 3, 8, 8).clone().requires_grad_()
    pixels = preprocess(frames, Preprocessing(size=8, **IDENTITY))
    assert pixels[0, :, 0, 0].tolist() == [0.0, 0.5, 1.0]
    pixels.sum().backward()
    assert frames.grad[0, :, 0, 0].tolist() == [0.0, 0.5, 0.0]


def test_half_precision_is_computed_in_float32_and_double_stays():
    frames = torch.zeros(1, 3, 8, 8)
    assert preprocess(frames.bfloat16(), Preprocessing(size=8)).dtype == torch.float32
    assert preprocess(frames.double(), Preprocessing(size=8)).dtype == torch.float64


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="size=0"):
        Preprocessing(size=0)
    with pytest.raises(ValueError, match="must be positive"):
        Preprocessing(std=(0.0, 1.0, 1.0))
