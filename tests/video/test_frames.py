import pytest
import torch

from rufous.video.frames import (
    center_crop,
    contact_sheet,
    frames_from_video,
    from_uint8,
    indices_at_fps,
    resize,
    resize_and_crop,
    strided_indices,
    to_uint8,
    uniform_indices,
    video_from_frames,
)


def test_every_byte_survives_the_round_trip():
    every_byte = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(from_uint8(every_byte)), every_byte)
    assert torch.equal(to_uint8(from_uint8(every_byte, torch.float16)), every_byte)
    assert from_uint8(every_byte)[[0, 255]].tolist() == [-1.0, 1.0]


def test_floats_are_rounded_to_the_nearest_byte_and_saturate():
    levels = torch.tensor([-7.0, -1.0, -1 + 0.6 / 127.5, -1 + 0.4 / 127.5, 1 - 0.4 / 127.5, 1.0, 3.0])
    assert to_uint8(levels).tolist() == [0, 0, 1, 0, 255, 255, 255]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_pixels_that_are_no_numbers_are_refused(bad):
    with pytest.raises(ValueError, match="NaN or infinite"):
        to_uint8(torch.tensor([0.0, bad]))


def test_videos_and_frames_differ_only_in_layout_and_range():
    frames = torch.randint(256, (5, 3, 4, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    video = video_from_frames(frames)
    assert video.shape == (1, 3, 5, 4, 6)
    assert torch.equal(frames_from_video(video)[0], frames)


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
def test_resizing_keeps_constants_layout_and_dtype(mode):
    video = torch.full((2, 3, 4, 9, 7), 0.25)
    resized = resize(video, height=5, width=12, mode=mode)
    assert resized.shape == (2, 3, 4, 5, 12)
    assert torch.allclose(resized, torch.full_like(resized, 0.25))
    frames = torch.full((2, 3, 9, 7), 200, dtype=torch.uint8)
    assert (resize(frames, height=3, width=3, mode=mode) == 200).all()
    assert resize(frames, height=9, width=7) is frames


def test_shrinking_is_antialiased():
    stripes = torch.tensor([0, 255], dtype=torch.uint8).repeat(32).expand(1, 64, 64)
    inner = resize(stripes, height=16, width=16, mode="bilinear")[:, :, 1:-1]
    assert ((inner >= 126) & (inner <= 129)).all()


def test_bytes_saturate_where_bicubic_overshoots():
    edge = torch.zeros(1, 8, 8, dtype=torch.uint8)
    edge[..., 4:] = 255
    enlarged = resize(edge, height=8, width=64)
    assert enlarged[0, 0, 0] == 0
    assert enlarged[0, 0, -1] == 255
    assert (enlarged[0, 0].int().diff() >= -1).all()


def test_each_plane_is_resized_by_itself():
    video = torch.rand(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    whole = resize(video, height=4, width=6)
    assert torch.allclose(whole[1, 2, 3], resize(video[1, 2, 3], height=4, width=6))


def test_the_crop_is_in_the_middle():
    frame = torch.arange(35).reshape(1, 5, 7)
    assert center_crop(frame, height=3, width=3).tolist() == [[[9, 10, 11], [16, 17, 18], [23, 24, 25]]]
    assert center_crop(frame, height=2, width=2)[0, 0, 0] == 9


def test_covering_keeps_the_aspect_ratio_of_what_is_seen():
    frame = torch.zeros(3, 100, 200)
    frame[:, 40:60, 90:110] = 1.0  # a square stays a square
    out = resize_and_crop(frame, height=32, width=32)
    assert out.shape == (3, 32, 32)
    bright = out[0] > 0.5
    assert bright.any(0).sum() == bright.any(1).sum()


@pytest.mark.parametrize(("height", "width"), [(37, 91), (1, 1), (720, 3)])
def test_covering_gives_exactly_the_wanted_size(height, width):
    assert resize_and_crop(torch.zeros(3, 51, 77), height=height, width=width).shape == (3, height, width)


@pytest.mark.parametrize(("height", "width"), [(0, 4), (4, 0), (9, 4), (4, 9)])
def test_crops_that_do_not_fit_are_refused(height, width):
    with pytest.raises(ValueError, match="cannot crop"):
        center_crop(torch.zeros(1, 8, 8), height=height, width=width)
    with pytest.raises(ValueError, match="at least 1 pixel"):
        resize(torch.zeros(1, 8, 8), height=0, width=4)


def test_uniform_samples_span_the_clip_without_repeats():
    assert uniform_indices(10, 4) == [0, 3, 6, 9]
    assert uniform_indices(7, 7) == list(range(7))
    assert uniform_indices(9, 1) == [4]
    assert uniform_indices(100, 3) == [0, 50, 99]
    for num_frames in range(1, 40):
        for num_samples in range(1, num_frames + 1):
            assert len(set(uniform_indices(num_frames, num_samples))) == num_samples


@pytest.mark.parametrize("num_samples", [0, -1, 6])
def test_impossible_numbers_of_samples_are_refused(num_samples):
    with pytest.raises(ValueError, match=f"num_samples={num_samples}"):
        uniform_indices(5, num_samples)


def test_a_stride_ends_within_the_clip():
    assert strided_indices(16, 4, stride=5) == [0, 5, 10, 15]
    assert strided_indices(20, 3, stride=2, start=10) == [10, 12, 14]
    with pytest.raises(ValueError, match="need 17 frames; there are 16"):
        strided_indices(16, 5, stride=4)
    with pytest.raises(ValueError, match="stride=0"):
        strided_indices(16, 2, stride=0)


def test_sampling_at_a_rate_follows_the_clock():
    at_24 = [i / 24 for i in range(48)]
    assert indices_at_fps(at_24, 24) == list(range(48))
    assert indices_at_fps(at_24, 8) == list(range(0, 48, 3))
    assert indices_at_fps([i / 2 for i in range(4)], 4) == [0, 0, 1, 1, 2, 2, 3]


def test_sampling_at_a_rate_bears_times_rounded_to_milliseconds():
    rounded = [round(i * 1001 / 24) / 1000 for i in range(500)]
    assert indices_at_fps(rounded, 24000 / 1001) == list(range(500))


def test_sampling_a_variable_rate_repeats_the_long_frames():
    assert indices_at_fps([5.0, 5.1, 5.2, 6.2, 6.3], 10) == [0, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4]


@pytest.mark.parametrize(
    ("times", "fps"), [([], 8), ([0.0, 0.0], 8), ([1.0, 0.5], 8), ([0.0], 0), ([0.0], float("nan"))]
)
def test_senseless_clocks_are_refused(times, fps):
    with pytest.raises(ValueError, match=r"ascend|positive"):
        indices_at_fps(times, fps)


def test_a_contact_sheet_reads_row_by_row_with_gaps_between():
    frames = torch.arange(5, dtype=torch.uint8).reshape(5, 1, 1, 1).expand(5, 1, 2, 3)
    sheet = contact_sheet(frames, num_columns=3, gap_px=1, background=9)
    assert sheet.shape == (1, 5, 11)
    assert sheet[0, 0].tolist() == [0, 0, 0, 9, 1, 1, 1, 9, 2, 2, 2]
    assert sheet[0, 2].tolist() == [9] * 11
    assert sheet[0, 4].tolist() == [3, 3, 3, 9, 4, 4, 4, 9, 9, 9, 9]


def test_a_contact_sheet_is_nearly_square_by_default():
    assert contact_sheet(torch.zeros(9, 3, 4, 4, dtype=torch.uint8)).shape == (3, 12, 12)
    with pytest.raises(ValueError, match="at least one frame"):
        contact_sheet(torch.zeros(0, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match="gap_px=-1"):
        contact_sheet(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), gap_px=-1)
