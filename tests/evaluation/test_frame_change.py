import pytest
import torch

from rufous.evaluation import mean_frame_change


def test_a_still_clip_does_not_change_and_black_to_white_changes_by_one():
    still = torch.full((4, 3, 8, 8), 77, dtype=torch.uint8)
    assert mean_frame_change(still) == 0.0
    blinking = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    blinking[1] = 255
    assert mean_frame_change(blinking) == pytest.approx(1.0)


def test_colours_count_by_their_brightness():
    frames = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    frames[1, 1] = 255
    assert mean_frame_change(frames) == pytest.approx(0.587)


def test_one_frame_is_refused():
    with pytest.raises(ValueError, match="1 frames"):
        mean_frame_change(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
