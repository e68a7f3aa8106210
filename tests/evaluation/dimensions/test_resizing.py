import numpy as np
import pytest
import torch
from PIL import Image

from rufous.evaluation.dimensions.resizing import (
    action_pixels,
    clip_picture_pixels,
    clip_pixels,
    crop_center,
    dino_pixels,
    quality_pixels,
    resize_plain,
    shorter_side_size,
)
from rufous.perception.preprocessing import CLIP_MEAN, CLIP_STD


def noise(*size: int) -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((320, 512), (224, 358)), ((512, 320), (358, 224)), ((224, 224), (224, 224)), ((100, 333), (224, 745))],
)
def test_the_longer_side_is_cut_not_rounded(size, expected):
    assert shorter_side_size(*size, 224) == expected


@pytest.mark.parametrize(("height", "top"), [(225, 0), (227, 2), (226, 1), (229, 2)])
def test_crops_begin_at_half_the_surplus_with_halves_to_even(height, top):
    rows = torch.arange(height, dtype=torch.float32).reshape(1, 1, height, 1).expand(1, 1, height, 224)
    assert crop_center(rows, 224)[0, 0, 0, 0] == top


def test_bytes_are_clamped_and_rounded_and_floats_overshoot():
    edge = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    edge[..., 4:] = 255
    as_bytes, as_floats = resize_plain(edge, 20, 20, "bicubic"), resize_plain(edge.float(), 20, 20, "bicubic")
    assert as_bytes.dtype == torch.uint8
    assert as_floats.max() > 260
    assert as_floats.min() < -5
    assert torch.equal(as_bytes, as_floats.clamp(0, 255).round().to(torch.uint8))
    assert not torch.allclose(
        clip_pixels(edge.expand(1, 3, 8, 8)), clip_pixels(edge.float().expand(1, 3, 8, 8))
    )


def test_shrinking_takes_four_neighbours_by_hand():
    ramp = torch.arange(8, dtype=torch.float32).reshape(1, 1, 1, 8).expand(1, 1, 4, 8)
    # without antialiasing, a factor of 4 reads at 1.5 and 5.5 alone
    assert resize_plain(ramp, 1, 2, "bilinear").flatten().tolist() == [1.5, 5.5]


def test_pictures_are_resized_as_pillow_does():
    frames = noise(300, 460)
    picture = Image.fromarray(frames[1].permute(1, 2, 0).numpy())
    small = np.asarray(picture.resize((343, 224), Image.Resampling.BICUBIC))[:, 60:284]  # round(59.5) = 60
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    expected = (torch.from_numpy(small.copy()).permute(2, 0, 1) / 255.0 - mean) / std
    assert torch.allclose(clip_picture_pixels(frames)[1], expected, atol=1e-6)
    assert not torch.allclose(clip_picture_pixels(frames), clip_pixels(frames), atol=0.1)


def test_shapes_are_those_that_the_networks_read():
    frames = noise(320, 512)
    assert clip_pixels(frames).shape == (2, 3, 224, 224)
    assert dino_pixels(frames).shape == (2, 3, 224, 358)
    assert action_pixels(frames).shape == (2, 3, 224, 224)
    assert quality_pixels(frames.float()).shape == (2, 3, 320, 512)
    assert quality_pixels(noise(540, 960).float()).shape == (2, 3, 288, 512)


def test_a_grey_frame_keeps_its_grey():
    grey = torch.full((1, 3, 720, 480), 128, dtype=torch.uint8)
    assert torch.allclose(quality_pixels(grey.float()), torch.tensor(128 / 255))
    assert torch.allclose(dino_pixels(grey)[0, 0], torch.tensor((128 / 255 - 0.485) / 0.229), atol=1e-5)
