import numpy as np
import pytest
from PIL import Image

from rufous.data.clip import Clip
from rufous.data.stage import Stage
from rufous.data.stages import text_area
from rufous.data.stages.text_area import TextArea, strokes
from tests.data.camera_clips import media_of
from tests.data.motion_figures import text_answers
from tests.data.text_clips import text_picture

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_what_is_read_is_measured_in_the_frame_that_has_most():
    picture = text_picture(2)
    frames = np.stack([np.zeros_like(picture.frame), picture.frame])
    (clip,) = TextArea().process(Clip(source="a.mp4", media=media_of(frames)))
    assert clip.scores == {"text_area": pytest.approx(picture.area, rel=0.35)}


def test_large_frames_are_shrunk_and_give_about_the_same():
    picture = text_picture(2)
    large = np.asarray(Image.fromarray(picture.frame).resize((1024, 640)))
    assert TextArea().share(large) == pytest.approx(TextArea().share(picture.frame), rel=0.2)


def test_frames_without_strokes_are_not_read(monkeypatch):
    def refuse():
        raise AssertionError("the reader was asked")

    monkeypatch.setattr(text_area, "_reader", refuse)
    assert TextArea().share(np.full((120, 192, 3), 90, dtype=np.uint8)) == 0.0
    with pytest.raises(AssertionError, match="the reader was asked"):
        TextArea(min_strokes=0.0).share(np.full((120, 192, 3), 90, dtype=np.uint8))


@pytest.mark.parametrize("index", [i for i in range(40) if text_picture(i).area >= 0.02][:8])
def test_text_has_strokes(index):
    assert strokes(text_picture(index).frame) > 2 * TextArea().min_strokes


def test_what_is_smooth_or_wide_has_none():
    smooth = np.repeat(np.linspace(0, 255, 320).astype(np.uint8)[:, None, None], 512, axis=1)
    wide = np.zeros((320, 512, 1), dtype=np.uint8)
    wide[100:200, 200:300] = 255
    for picture in (smooth, wide):
        assert strokes(np.repeat(picture, 3, axis=-1)) == 0.0


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_figure_95_of_100_pictures_are_told_to_have_text_on_over_or_under_2_percent():
    """The stage was made on 40 pictures, and its documented figure is of pictures 0 to 199."""
    answers = list(text_answers(range(1000, 1200)))
    right = sum((share >= 0.02) == (picture.area >= 0.02) for picture, share in answers)
    print(f"text: {right} of {len(answers)} right")
    assert 50 < sum(picture.area >= 0.02 for picture, _ in answers) < 150
    assert right >= 0.95 * len(answers)


def test_it_is_a_stage():
    assert isinstance(TextArea(), Stage)
