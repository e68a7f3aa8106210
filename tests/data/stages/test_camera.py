import numpy as np
import pytest

from rufous.data.clip import Clip
from rufous.data.stage import Stage
from rufous.data.stages.camera import Camera
from tests.data.camera_clips import (
    FPS,
    CameraClip,
    dolly_zoom,
    media_of,
    warped_camera,
    without_background,
    world_camera,
)
from tests.data.motion_figures import camera_answers


def measured(clip: CameraClip, **settings: float) -> Clip:
    (found,) = Camera(**settings).process(Clip(source="drawn.mp4", media=media_of(clip.frames, FPS)))
    return found


@pytest.mark.parametrize("camera", ["static", "pan left", "zoom out"])
def test_the_camera_is_told_from_things_that_move(camera):
    clip = world_camera(0, camera, moving=True)
    assert measured(clip).tags["camera_motion"] == clip.tag


@pytest.mark.parametrize("tag", ["tilt_down", "roll", "pan_left+zoom_in"])
def test_tilts_rolls_and_mixtures_are_told(tag):
    assert measured(warped_camera(0, tag)).tags["camera_motion"] == tag


def test_a_thing_that_keeps_its_size_makes_a_dolly_zoom():
    assert measured(dolly_zoom(1)).tags["camera_motion"] == "dolly_zoom"


def test_scores_are_a_second_and_of_the_content():
    scores = measured(warped_camera(2, "pan_left+zoom_in")).scores
    assert 0.09 < scores["camera_right"] < 0.17
    assert 0.17 < scores["camera_growth"] < 0.31
    assert abs(scores["camera_down"]) < 0.01
    assert abs(scores["camera_turn"]) < 0.5


def test_nothing_is_claimed_of_a_plain_background_behind_a_moving_thing():
    clip = without_background(100)
    assert clip.kind == "plain, thing moves"
    assert measured(clip).tags["camera_motion"] == "undetermined"


def test_frames_without_any_texture_are_undetermined():
    blank = CameraClip("undetermined", "blank", np.full((6, 64, 96, 3), 80, dtype=np.uint8))
    assert measured(blank).tags["camera_motion"] == "undetermined"
    assert set(measured(blank).scores.values()) == {0.0}


def test_a_slow_drift_is_static_to_a_coarser_eye():
    clip = warped_camera(3, "tilt_up")
    assert measured(clip, min_moved=1.0).tags["camera_motion"] == "static"


def test_one_frame_shows_no_motion():
    clip = warped_camera(3, "tilt_up")
    with pytest.raises(ValueError, match="one frame shows no motion"):
        Camera().process(Clip(source="a.mp4", media=media_of(clip.frames[:1])))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_figure_95_of_100_known_cameras_are_told():
    """The stage was made on rounds below 300, and its documented figure is of rounds 300 to 324."""
    answers = list(camera_answers(25, first=400))
    right = sum(told == clip.tag for clip, told in answers)
    print(f"camera: {right} of {len(answers)} right")
    assert len(answers) == 500
    assert right >= 0.95 * len(answers)


def test_it_is_a_stage():
    assert isinstance(Camera(), Stage)
