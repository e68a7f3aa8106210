import numpy as np
import pytest

from rufous.data.clip import Clip
from rufous.data.stage import Stage
from rufous.data.stages.watermark import Watermark
from tests.data.camera_clips import media_of
from tests.data.text_clips import logo_clip


def watermark(frames: np.ndarray) -> float:
    (clip,) = Watermark().process(Clip(source="a.mp4", media=media_of(frames)))
    return clip.scores["watermark"]


@pytest.mark.parametrize("opacity", [1.0, 0.5])
@pytest.mark.parametrize("index", range(4))
def test_a_logo_in_any_corner_is_found(index, opacity):
    assert 0.01 < watermark(logo_clip(index, opacity=opacity)) < 0.06


@pytest.mark.parametrize("index", range(4))
def test_a_moving_picture_without_a_logo_has_none(index):
    assert watermark(logo_clip(index, opacity=0.0)) == 0.0


def test_a_picture_that_stands_tells_nothing():
    assert watermark(logo_clip(0, moves=False)) == 0.0


def test_letters_in_the_middle_are_no_watermark():
    frames = np.roll(logo_clip(0), (50, 60), axis=(1, 2))
    assert watermark(frames) < 0.002


def test_one_frame_has_none():
    assert watermark(logo_clip(0)[:1]) == 0.0


def test_it_is_a_stage():
    assert isinstance(Watermark(), Stage)
