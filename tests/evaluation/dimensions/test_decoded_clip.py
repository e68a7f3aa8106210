import pytest
import torch

from rufous.evaluation.dimensions import decoded_clip
from rufous.evaluation.dimensions.decoded_clip import DecodedClip, middle_indices, read_clip
from rufous.video import write_video


@pytest.mark.parametrize(
    ("num_frames", "count", "expected"),
    [
        (16, 8, [0, 2, 4, 6, 8, 10, 12, 14]),
        (49, 8, [2, 8, 14, 20, 26, 32, 38, 45]),
        (81, 8, [4, 14, 24, 34, 44, 54, 64, 75]),
        (5, 8, [0, 1, 2, 3, 4, 4, 4, 4]),
        (1, 3, [0, 0, 0]),
    ],
)
def test_middle_frames_are_the_published_ones(num_frames, count, expected):
    assert middle_indices(num_frames, count) == expected


def test_sixteen_middle_frames_of_longer_clips():
    assert middle_indices(81, 16)[:2] + middle_indices(81, 16)[-1:] == [2, 7, 77]
    assert middle_indices(49, 16)[:2] + middle_indices(49, 16)[-1:] == [1, 4, 46]
    with pytest.raises(ValueError, match="at least 1"):
        middle_indices(0, 8)


def test_a_file_is_decoded_with_its_rate_and_what_is_told(tmp_path):
    frames = torch.full((6, 3, 32, 48), 120, dtype=torch.uint8)
    path = write_video(tmp_path / "grey-0.mp4", frames, fps=12.0)
    clip = read_clip(path, prompt="grey")
    assert (clip.fps, clip.name, clip.prompt, tuple(clip.frames.shape)) == (
        12.0,
        "grey-0.mp4",
        "grey",
        (6, 3, 32, 48),
    )
    assert clip.middle(4).shape == (4, 3, 32, 48)


def test_a_single_frame_has_no_rate(tmp_path):
    path = write_video(tmp_path / "one.mp4", torch.zeros(1, 3, 32, 32, dtype=torch.uint8), fps=8.0)
    assert (read_clip(path).fps, len(read_clip(path).frames)) == (0.0, 1)


def test_a_clip_too_large_to_hold_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = write_video(tmp_path / "long.mp4", torch.zeros(6, 3, 32, 32, dtype=torch.uint8), fps=8.0)
    monkeypatch.setattr(decoded_clip, "MAX_BYTES", 6 * 3 * 32 * 32 - 1)
    with pytest.raises(ValueError, match=r"long\.mp4: 6 frames of 32x32 take 18,432 bytes"):
        read_clip(path)


def test_the_world_measures_a_clip_once():
    clip = DecodedClip(frames=torch.zeros(4, 3, 32, 32, dtype=torch.uint8), fps=8.0)
    assert clip.in_world is clip.in_world
    assert clip.in_world.motion_magnitude == 0.0
